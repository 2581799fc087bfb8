package main

import (
	"crypto/ecdh"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const (
	pkt   = 1280
	batch = conn.IdealBatchSize
)

// memTUN gives as many packets as it was told to by want, in batches, and
// counts what comes out.  Only the header of a packet is written: copying the
// rest is not the device's work.
type memTUN struct {
	header []byte
	want   chan int
	left   int
	got    chan int
	events chan tun.Event
	closed chan struct{}
}

func newTUN(header []byte) *memTUN {
	t := &memTUN{header: header, want: make(chan int), got: make(chan int, 1),
		events: make(chan tun.Event, 1), closed: make(chan struct{})}
	t.events <- tun.EventUp
	return t
}

func (t *memTUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if t.left == 0 {
		select {
		case t.left = <-t.want:
		case <-t.closed:
			return 0, os.ErrClosed
		}
	}
	n := min(len(bufs), t.left)
	for i := 0; i < n; i++ {
		copy(bufs[i][offset:], t.header)
		sizes[i] = pkt
	}
	t.left -= n
	return n, nil
}

func (t *memTUN) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		if len(b)-offset != pkt {
			log.Fatalf("a packet of %d bytes", len(b)-offset)
		}
	}
	t.got <- len(bufs)
	return len(bufs), nil
}

func (t *memTUN) File() *os.File           { return nil }
func (t *memTUN) MTU() (int, error)        { return pkt, nil }
func (t *memTUN) Name() (string, error)    { return "mem", nil }
func (t *memTUN) Events() <-chan tun.Event { return t.events }
func (t *memTUN) Close() error             { close(t.closed); close(t.events); return nil }
func (t *memTUN) BatchSize() int           { return batch }

type endpoint struct{}

func (endpoint) ClearSrc()           {}
func (endpoint) SrcToString() string { return "" }
func (endpoint) DstToString() string { return "127.0.0.1:1" }
func (endpoint) DstToBytes() []byte  { return []byte{1} }
func (endpoint) DstIP() netip.Addr   { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }
func (endpoint) SrcIP() netip.Addr   { return netip.Addr{} }

// wire carries batches one way: the sender waits until they are copied, so that
// there is one copy.
type wire struct {
	bufs chan [][]byte
	done chan struct{}
}

func newWire() *wire { return &wire{make(chan [][]byte), make(chan struct{})} }

type memBind struct {
	rx, tx *wire
	closed chan struct{}
}

func (b *memBind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.closed = make(chan struct{})
	closed := b.closed
	return []conn.ReceiveFunc{func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case <-closed:
			return 0, net.ErrClosed
		case bufs := <-b.rx.bufs:
			for i, p := range bufs {
				sizes[i] = copy(packets[i], p)
				eps[i] = endpoint{}
			}
			b.rx.done <- struct{}{}
			return len(bufs), nil
		}
	}}, 1, nil
}

func (b *memBind) Close() error {
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	return nil
}

func (b *memBind) Send(bufs [][]byte, _ conn.Endpoint) error {
	b.tx.bufs <- bufs
	<-b.tx.done
	return nil
}

func (b *memBind) SetMark(uint32) error                        { return nil }
func (b *memBind) ParseEndpoint(string) (conn.Endpoint, error) { return endpoint{}, nil }
func (b *memBind) BatchSize() int                              { return batch }

func newDevice(t *memTUN, b *memBind, key, peer []byte, allowed string) *device.Device {
	d := device.NewDevice(t, b, device.NewLogger(device.LogLevelError, ""))
	if err := d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nallowed_ip=%s\nendpoint=127.0.0.1:1\n",
		hex.EncodeToString(key), hex.EncodeToString(peer), allowed)); err != nil {
		log.Fatal(err)
	}
	if err := d.Up(); err != nil {
		log.Fatal(err)
	}
	return d
}

func keys(seed byte) (private, public []byte) {
	private = make([]byte, 32)
	private[0], private[31] = seed, 64
	k, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		log.Fatal(err)
	}
	return private, k.PublicKey().Bytes()
}

// tunnel sends packets of 1,280 bytes from one device to another.
func tunnel() {
	name := "wg/wireguard-go/1280"
	if !wants(name) {
		return
	}
	header := make([]byte, 20)
	header[0], header[2], header[3], header[8], header[9] = 0x45, pkt>>8, pkt&0xff, 64, 17
	copy(header[12:], []byte{10, 0, 0, 1})
	copy(header[16:], []byte{10, 0, 0, 2})
	ab, ba := newWire(), newWire()
	ta, tb := newTUN(header), newTUN(nil)
	ka, pa := keys(8)
	kb, pb := keys(16)
	newDevice(ta, &memBind{rx: ba, tx: ab}, ka, pb, "10.0.0.2/32")
	newDevice(tb, &memBind{rx: ab, tx: ba}, kb, pa, "10.0.0.1/32")
	send := func(n int) {
		ta.want <- n
		for n > 0 {
			n -= <-tb.got
		}
	}
	send(1) // the handshake
	run(name, func() (int, int) {
		send(32 * batch)
		return 32 * batch, 32 * batch * pkt
	})
}
