//! boringtun: packets of 1,280 bytes through two tunnels.
use crate::Bench;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

const PKT: usize = 1280;

fn ip_packet() -> [u8; PKT] {
    let mut p = [0; PKT];
    p[0] = 0x45;
    p[2..4].copy_from_slice(&(PKT as u16).to_be_bytes());
    p[8] = 64;
    p[9] = 17;
    p[12..16].copy_from_slice(&[10, 0, 0, 1]);
    p[16..20].copy_from_slice(&[10, 0, 0, 2]);
    p
}

/// What `r` wants to send, if anything.
fn sent(r: TunnResult) -> Option<Vec<u8>> {
    match r {
        TunnResult::WriteToNetwork(d) => Some(d.to_vec()),
        TunnResult::Done | TunnResult::WriteToTunnelV4(..) => None,
        TunnResult::WriteToTunnelV6(..) => panic!("no IPv6 here"),
        TunnResult::Err(e) => panic!("boringtun: {e:?}"),
    }
}

fn pair() -> (Tunn, Tunn) {
    let (ka, kb) = (StaticSecret::from([8; 32]), StaticSecret::from([16; 32]));
    let (pa, pb) = (PublicKey::from(&ka), PublicKey::from(&kb));
    let mut a = Tunn::new(ka, pb, None, None, 1, None);
    let mut b = Tunn::new(kb, pa, None, None, 2, None);
    let (mut x, mut y) = ([0; 2048], [0; 2048]);
    let init = sent(a.format_handshake_initiation(&mut x, false)).expect("an initiation");
    let resp = sent(b.decapsulate(None, &init, &mut y)).expect("a response");
    let keepalive = sent(a.decapsulate(None, &resp, &mut x)).expect("a keepalive");
    sent(b.decapsulate(None, &keepalive, &mut y));
    (a, b)
}

pub fn run(bench: &Bench) {
    let name = "wg/boringtun/1280";
    if !bench.wants(name) {
        return;
    }
    let (mut a, mut b) = pair();
    let plain = ip_packet();
    let (mut x, mut y) = ([0; 2048], [0; 2048]);
    bench.run(name, || {
        for _ in 0..1000 {
            let TunnResult::WriteToNetwork(d) = a.encapsulate(&plain, &mut x) else {
                panic!("nothing was sealed");
            };
            let TunnResult::WriteToTunnelV4(p, _) = b.decapsulate(None, d, &mut y) else {
                panic!("nothing was opened");
            };
            assert_eq!(p.len(), PKT);
        }
        (1000, (1000 * PKT) as u64)
    });
}
