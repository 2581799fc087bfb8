//! smoltcp: one connection between two interfaces in memory, MTU 1,280, sums
//! made and checked, buffers and windows of 1 MiB, no delay and no loss.
use crate::Bench;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

const MTU: usize = 1280;
const WINDOW: usize = 1 << 20;
/// Packets that the link has room for; a turn's bytes fill fewer.
const QUEUE: usize = 64;
/// What the program writes in a turn.
const CHUNK: usize = 65536;

/// Packets in one direction: a ring of buffers, so that nothing is allocated.
struct Ring {
    bufs: Vec<[u8; MTU]>,
    lens: [usize; QUEUE],
    head: usize,
    count: usize,
    /// Packets that it holds; no more is sent before they are taken.
    burst: usize,
}

impl Ring {
    fn new(burst: usize) -> Self {
        Ring {
            bufs: vec![[0; MTU]; QUEUE],
            lens: [0; QUEUE],
            head: 0,
            count: 0,
            burst,
        }
    }
}

/// One end of the link, for the time of a poll.
struct End<'a> {
    rx: &'a mut Ring,
    tx: &'a mut Ring,
}

struct Rx<'a>(&'a mut Ring);
struct Tx<'a>(&'a mut Ring);

impl phy::RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let at = self.0.head;
        self.0.head = (at + 1) % QUEUE;
        self.0.count -= 1;
        f(&self.0.bufs[at][..self.0.lens[at]])
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let at = (self.0.head + self.0.count) % QUEUE;
        self.0.lens[at] = len;
        self.0.count += 1;
        f(&mut self.0.bufs[at][..len])
    }
}

impl Device for End<'_> {
    type RxToken<'b>
        = Rx<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        // An answer needs room.
        (self.rx.count > 0 && self.tx.count < self.tx.burst).then(|| (Rx(self.rx), Tx(self.tx)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_>> {
        (self.tx.count < self.tx.burst).then(|| Tx(self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // The default checksum capabilities: all made, all checked.
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = MTU;
        caps
    }
}

struct Host {
    iface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Host {
    fn new(last: u8, end: &mut End, cc: tcp::CongestionControl) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from(last);
        let mut iface = Interface::new(config, end, Instant::ZERO);
        iface.update_ip_addrs(|a| {
            a.push(IpCidr::new(IpAddress::v4(10, 0, 0, last), 24))
                .expect("room for an address");
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; WINDOW]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_congestion_control(cc);
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        Host {
            iface,
            sockets,
            socket,
        }
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

struct Link {
    a: Host,
    b: Host,
    ab: Ring,
    ba: Ring,
    now: Instant,
}

impl Link {
    fn new(cc: tcp::CongestionControl, burst: usize) -> Self {
        let (mut ab, mut ba) = (Ring::new(burst), Ring::new(burst));
        let mut a = Host::new(
            1,
            &mut End {
                rx: &mut ba,
                tx: &mut ab,
            },
            cc,
        );
        let mut b = Host::new(
            2,
            &mut End {
                rx: &mut ab,
                tx: &mut ba,
            },
            cc,
        );
        b.socket().listen(80).expect("listens");
        let context = a.iface.context();
        a.sockets
            .get_mut::<tcp::Socket>(a.socket)
            .connect(context, (IpAddress::v4(10, 0, 0, 2), 80), 49152)
            .expect("connects");
        let now = Instant::ZERO;
        let mut link = Link { a, b, ab, ba, now };
        for _ in 0..10 {
            link.poll_a();
            link.poll_b();
        }
        assert!(link.a.socket().may_send() && link.b.socket().may_recv());
        link
    }

    fn poll_a(&mut self) {
        let mut end = End {
            rx: &mut self.ba,
            tx: &mut self.ab,
        };
        self.a.iface.poll(self.now, &mut end, &mut self.a.sockets);
    }

    fn poll_b(&mut self) {
        let mut end = End {
            rx: &mut self.ab,
            tx: &mut self.ba,
        };
        self.b.iface.poll(self.now, &mut end, &mut self.b.sockets);
    }

    /// The program's bytes in, across, out; then the acknowledgements.
    fn turn(&mut self, data: &[u8]) -> u64 {
        self.now += Duration::from_micros(20);
        self.a.socket().send_slice(data).expect("sends");
        let mut got = 0;
        loop {
            self.poll_a();
            let full = self.ab.count == self.ab.burst;
            self.poll_b();
            let socket = self.b.socket();
            while socket.can_recv() {
                got += socket.recv(|d| (d.len(), d.len())).expect("receives");
            }
            if !full {
                return got as u64;
            }
        }
    }
}

pub fn run(bench: &Bench) {
    let data = vec![0; CHUNK];
    let (none, cubic) = (tcp::CongestionControl::None, tcp::CongestionControl::Cubic);
    for (name, cc, burst) in [
        ("tcp/smoltcp/1280", none, QUEUE),
        ("tcp/smoltcp-cubic/1280", cubic, QUEUE),
        // Two packets at a time: each pair is acknowledged.
        ("tcp2/smoltcp/1280", none, 2),
        ("tcp2/smoltcp-cubic/1280", cubic, 2),
    ] {
        if !bench.wants(name) {
            continue;
        }
        let mut link = Link::new(cc, burst);
        bench.run(name, || {
            let bytes = (0..200).map(|_| link.turn(&data)).sum();
            assert!(bytes > 0, "nothing came through");
            (200, bytes)
        });
    }
}
