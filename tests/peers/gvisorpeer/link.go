package main

import (
	"os"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"tailscale.com/net/packet"
	"tailscale.com/wgengine/netstack/gro"
)

// endpoint is the link of the stack: a packet socket. It offers what tsnet's
// offers: coalescing of what comes in, segments of 64 KiB going out (cut to
// the MTU by the stack itself; in tsnet the tunnel does it), a queue of 512.
type endpoint struct {
	mtu uint32
	f   *os.File
	q   chan *stack.PacketBuffer

	mu sync.RWMutex
	d  stack.NetworkDispatcher
}

var _ stack.GSOEndpoint = (*endpoint)(nil)

func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.d = d
}
func (e *endpoint) IsAttached() bool { return e.dispatcher() != nil }
func (e *endpoint) dispatcher() stack.NetworkDispatcher {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.d
}
func (e *endpoint) MTU() uint32     { return e.mtu }
func (e *endpoint) SetMTU(m uint32) { e.mtu = m }
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}
func (*endpoint) GSOMaxSize() uint32                      { return 1<<16 - 1 }
func (*endpoint) SupportedGSO() stack.SupportedGSO        { return stack.GVisorGSOSupported }
func (*endpoint) MaxHeaderLength() uint16                 { return 0 }
func (*endpoint) LinkAddress() tcpip.LinkAddress          { return "" }
func (*endpoint) SetLinkAddress(tcpip.LinkAddress)        {}
func (*endpoint) Wait()                                   {}
func (*endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*endpoint) AddHeader(*stack.PacketBuffer)           {}
func (*endpoint) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (*endpoint) Close()                                  {}
func (*endpoint) SetOnCloseAction(func())                 {}

func (e *endpoint) WritePackets(l stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, p := range l.AsSlice() {
		e.q <- p.IncRef()
		n++
	}
	return n, nil
}

// send writes what the stack sends, until the shim is gone.
func (e *endpoint) send() {
	for p := range e.q {
		v := p.ToView()
		_, err := e.f.Write(v.AsSlice())
		v.Release()
		p.DecRef()
		if err != nil {
			return
		}
	}
}

// receive reads packets until the shim is gone. What is there at once is
// coalesced, as tsnet coalesces what its tunnel reads in one go.
func (e *endpoint) receive() {
	packets := make(chan []byte, 128)
	go func() {
		defer close(packets)
		for {
			b := make([]byte, 2048)
			n, err := e.f.Read(b)
			if err != nil || n == 0 {
				return
			}
			packets <- b[:n]
		}
	}()
	for b := range packets {
		g := gro.NewGRO()
		g.SetDispatcher(e.dispatcher())
		for more := true; more; {
			e.deliver(g, b)
			select {
			case b, more = <-packets:
			default:
				more = false
			}
		}
		g.Flush()
	}
}

func (e *endpoint) deliver(g *gro.GRO, b []byte) {
	var p packet.Parsed
	if b == nil {
		return
	}
	p.Decode(b)
	g.Enqueue(&p)
}
