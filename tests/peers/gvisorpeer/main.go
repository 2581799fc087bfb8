// gvisorpeer is gVisor's stack, set as tsnet sets it, on a packet socket: the
// yardstick beside a kernel's TCP. It takes the arguments of nspeer
// (tests/shim/nspeer.c):
//
//	gvisorpeer --link PATH --addr IP [--mtu N]
//	           [--serve PORT=ADDR:PORT] [--forward LOCAL=ADDR:PORT]
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const nic = 1

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func set(s *stack.Stack, o tcpip.SettableTransportProtocolOption) {
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
		log.Fatalf("%T: %v", o, err)
	}
}

// newStack has the settings of tailscale.com/wgengine/netstack, Create: SACK
// on, RACK off, Reno, up to 8 MiB in and 6 MiB out.
func newStack(link *endpoint) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol,
			icmp.NewProtocol4, icmp.NewProtocol6},
	})
	sack := tcpip.TCPSACKEnabled(true)
	set(s, &sack)
	recovery := tcpip.TCPRecovery(0)
	set(s, &recovery)
	reno := tcpip.CongestionControlOption("reno")
	set(s, &reno)
	set(s, &tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize,
		Default: tcp.DefaultSendBufferSize, Max: 8 << 20})
	set(s, &tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize,
		Default: tcp.DefaultReceiveBufferSize, Max: 6 << 20})
	if err := s.CreateNIC(nic, link); err != nil {
		log.Fatal(err)
	}
	s.SetPromiscuousMode(nic, true)
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})
	return s
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

type stream interface {
	net.Conn
	CloseWrite() error
}

// join copies both ways; each end passes on by itself.
func join(a, b stream) {
	done := make(chan struct{})
	one := func(to, from stream) {
		io.Copy(to, from)
		to.CloseWrite()
		done <- struct{}{}
	}
	go one(a, b)
	go one(b, a)
	<-done
	<-done
	a.Close()
	b.Close()
}

// serve takes connections of the stack as tsnet does, by a forwarder.
func serve(s *stack.Stack, to map[uint16]string) {
	f := tcp.NewForwarder(s, 0, 2048, func(r *tcp.ForwarderRequest) {
		local, err := net.Dial("tcp", to[r.ID().LocalPort])
		if err != nil {
			r.Complete(true)
			return
		}
		var wq waiter.Queue
		ep, terr := r.CreateEndpoint(&wq)
		if terr != nil {
			r.Complete(true)
			local.Close()
			return
		}
		r.Complete(false)
		join(gonet.NewTCPConn(&wq, ep), local.(*net.TCPConn))
	})
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, f.HandlePacket)
}

func forward(s *stack.Stack, local string, to netip.AddrPort) {
	l, err := net.Listen("tcp", local)
	check(err)
	go func() {
		for {
			c, err := l.Accept()
			check(err)
			go func() {
				remote, err := gonet.DialContextTCP(context.Background(), s, full(to), protocol(to.Addr()))
				if err != nil {
					c.Close()
					return
				}
				join(remote, c.(*net.TCPConn))
			}()
		}
	}()
}

func connectLink(path string) *os.File {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	check(err)
	check(syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}))
	syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, 32 /* SO_SNDBUFFORCE */, 8<<20)
	check(syscall.SetNonblock(fd, true))
	return os.NewFile(uintptr(fd), "link")
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gvisorpeer: ")
	e := &endpoint{mtu: 1280, q: make(chan *stack.PacketBuffer, 512)}
	services := map[uint16]string{}
	var addrs []netip.Addr
	var forwards [][2]string
	if len(os.Args)%2 == 0 {
		log.Fatal("each option has a value")
	}
	for i := 1; i < len(os.Args); i += 2 {
		o, v := os.Args[i], os.Args[i+1]
		left, right, _ := strings.Cut(v, "=")
		switch o {
		case "--link":
			e.f = connectLink(v)
		case "--mtu":
			n, err := strconv.Atoi(v)
			check(err)
			e.mtu = uint32(n)
		case "--addr":
			a, err := netip.ParseAddr(v)
			check(err)
			addrs = append(addrs, a)
		case "--serve":
			n, err := strconv.ParseUint(left, 10, 16)
			check(err)
			services[uint16(n)] = right
		case "--forward":
			if !strings.Contains(left, ":") {
				left = "127.0.0.1:" + left
			}
			forwards = append(forwards, [2]string{left, right})
		default:
			log.Fatalf("what is %s?", o)
		}
	}
	s := newStack(e)
	for _, a := range addrs {
		pa := tcpip.ProtocolAddress{Protocol: protocol(a),
			AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
		if err := s.AddProtocolAddress(nic, pa, stack.AddressProperties{}); err != nil {
			log.Fatal(err)
		}
	}
	serve(s, services)
	for _, f := range forwards {
		to, err := netip.ParseAddrPort(f[1])
		check(err)
		forward(s, f[0], to)
	}
	go e.send()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		e.receive()
		end <- syscall.SIGTERM
	}()
	fmt.Println("ready")
	<-end
	t := s.Stats().TCP
	fmt.Printf("gv_retransmits %d\ngv_timeouts %d\ngv_fast_recovery %d\n",
		t.Retransmits.Value(), t.Timeouts.Value(), t.FastRecovery.Value()+t.SACKRecovery.Value())
}
