package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

// The WebSocket form of /ts2021, which testcontrol refuses ("POST required"):
// the messages' bytes are those of an upgrade by POST, which is made here in
// memory and joined to them.
type webSocketForm struct {
	s     http.Handler
	conns chan net.Conn
}

const noiseProtocol = "tailscale-control-protocol"

func newWebSocketForm(s http.Handler) *webSocketForm {
	f := &webSocketForm{s: s, conns: make(chan net.Conn)}
	go http.Serve(f, s)
	return f
}

// The listener of the upgrades that are made here.
func (f *webSocketForm) Accept() (net.Conn, error) { return <-f.conns, nil }
func (f *webSocketForm) Close() error              { return nil }
func (f *webSocketForm) Addr() net.Addr            { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (f *webSocketForm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		f.s.ServeHTTP(w, r)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:    []string{noiseProtocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return // it has answered
	}
	hello := r.URL.Query().Get("X-Tailscale-Handshake")
	if c.Subprotocol() != noiseProtocol || hello == "" {
		c.Close(websocket.StatusPolicyViolation, "no subprotocol, or no handshake")
		return
	}
	near, far := net.Pipe()
	defer near.Close()
	f.conns <- far
	from, ok := upgrade(near, hello)
	if !ok {
		c.Close(websocket.StatusPolicyViolation, "the handshake was refused")
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ws := websocket.NetConn(ctx, c, websocket.MessageBinary)
	go func() {
		io.Copy(ws, from)
		ws.Close()
	}()
	io.Copy(near, ws)
}

// upgrade asks by POST; what follows the answer comes from the reader.
func upgrade(c net.Conn, hello string) (io.Reader, bool) {
	req := &http.Request{
		Method: "POST", URL: &url.URL{Scheme: "http", Host: "memory", Path: "/ts2021"}, Header: http.Header{
			"Connection": {"upgrade"}, "Upgrade": {noiseProtocol}, "X-Tailscale-Handshake": {hello},
		},
	}
	if req.Write(c) != nil {
		return nil, false
	}
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, req)
	return br, err == nil && res.StatusCode == http.StatusSwitchingProtocols
}
