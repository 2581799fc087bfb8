// controlserver is an independent TS2021 control server to test against: Tailscale's own
// tstest/integration/testcontrol (the Noise upgrade, HTTP/2 inside it, register, map, /key),
// with flags for what the stock cmd/testcontrol fixes: listen address, DERP map, auth key,
// interactive login, MagicDNS, packet filter, key expiry, fake peers, delta map updates.
//
// It listens on loopback only. Beside the control protocol it serves a small HTTP admin
// interface for tests under /lab/ (see README.md).
package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/dnstype"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

var (
	listen     = flag.String("listen", "127.0.0.1:9911", "loopback address to listen on")
	baseURL    = flag.String("base-url", "", "URL clients are told (default http://LISTEN, or https with -cert)")
	certFile   = flag.String("cert", "", "serve TLS with this certificate (with -key)")
	keyFile    = flag.String("key", "", "private key for -cert")
	derpFile   = flag.String("derpmap", "", "JSON tailcfg.DERPMap; default: a DERP and STUN server inside this process (self-signed, InsecureForTests)")
	authKey    = flag.String("authkey", "", "require this auth key at registration")
	interact   = flag.Bool("interactive", false, "without an auth key ask for a login: hand out an AuthURL; a GET of it completes the login")
	machAuth   = flag.Bool("machine-auth", false, "nodes need approval: POST /lab/approve?node=NAME")
	routes     = flag.String("routes", "", "split DNS: SUFFIX=RESOLVER[,SUFFIX=RESOLVER...], with -domain")
	domain     = flag.String("domain", "", "MagicDNS domain, e.g. lab.test")
	filterFile = flag.String("packet-filter", "", "JSON []tailcfg.FilterRule for every node; default: allow all")
	keyExpiry  = flag.Duration("key-expiry", 0, "node keys expire this long after they are first seen; 0: never")
	nFake      = flag.Int("fake", 0, "number of fake peers to begin with (100.100.0.0/16, names fake1..)")
	delta      = flag.Bool("delta", true, "after the first map response send PeersChanged/PeersRemoved, not full maps")
	keepAlive  = flag.Duration("keepalive", 50*time.Second, "keep-alive interval on idle map streams")
	sameUser   = flag.Bool("same-user", true, "all nodes belong to one user")
	online     = flag.Bool("online", true, "report every peer as online")
	verbose    = flag.Bool("verbose", false, "log requests")
)

type ctl struct {
	s *testcontrol.Server

	mu      sync.Mutex
	gen     chan struct{} // closed at every change, then replaced
	filter  []tailcfg.FilterRule
	expiry  map[key.NodePublic]time.Time
	removed map[string]bool // peers (by name) hidden from all
	fakes   []*tailcfg.Node
	names   map[string]key.NodePublic
	streams map[key.NodePublic]int
	raw     map[key.NodePublic][]*tailcfg.MapResponse
	garbage map[key.NodePublic][]byte // written into the stream as it is
}

// lowLevel finds the response writer under a MapStreamWriter, to write what is
// no map message. testcontrol has no way to do this, as a server never should.
func lowLevel(w testcontrol.MapStreamWriter) http.ResponseWriter {
	f := reflect.ValueOf(w).Elem().FieldByName("w")
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Interface().(http.ResponseWriter)
}

// broken is a message that no client may take: in its length, its compression
// or its JSON.
func broken(kind string) []byte {
	frame := func(b string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	switch kind {
	case "length": // four gigabytes announced
		return []byte{0xff, 0xff, 0xff, 0xff, '{', '}'}
	case "zstd": // neither a zstd frame nor JSON
		return frame("\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff")
	case "json":
		return frame(`{"KeepAlive":tru`)
	case "type":
		return frame(`{"Peers":7,"Node":[true],"DERPMap":"none"}`)
	}
	return nil
}

func (c *ctl) bump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gen)
	c.gen = make(chan struct{})
}

func (c *ctl) addFake(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		i := len(c.fakes) + 1
		a := netip.AddrFrom4([4]byte{100, 100, byte(i >> 8), byte(i)})
		pfx := []netip.Prefix{netip.PrefixFrom(a, 32), netip.PrefixFrom(tsaddr.Tailscale4To6(a), 128)}
		name := fmt.Sprintf("fake%d", i)
		if *domain != "" {
			name += "." + *domain + "."
		}
		f := &tailcfg.Node{
			ID: tailcfg.NodeID(100000 + i), StableID: tailcfg.StableNodeID(fmt.Sprintf("FAKE%06d", i)), Name: name,
			User: 123, Key: key.NewNode().Public(), Machine: key.NewMachine().Public(), DiscoKey: key.NewDisco().Public(),
			Addresses: pfx, AllowedIPs: pfx, MachineAuthorized: true, Cap: tailcfg.CurrentCapabilityVersion, HomeDERP: 1,
			Endpoints: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 9)},
			Hostinfo:  (&tailcfg.Hostinfo{Hostname: fmt.Sprintf("fake%d", i), OS: "linux"}).View(),
			Created:   time.Now(),
		}
		on := i%2 == 1 // every second fake is offline, seen an hour ago
		f.Online = &on
		if !on {
			t := time.Now().Add(-time.Hour)
			f.LastSeen = &t
		}
		c.fakes = append(c.fakes, f)
	}
}

func (c *ctl) expiryOf(k key.NodePublic) time.Time {
	if *keyExpiry == 0 {
		return c.expiry[k] // zero unless /lab/expire set it
	}
	t, ok := c.expiry[k]
	if !ok {
		t = time.Now().Add(*keyExpiry)
		c.expiry[k] = t
		time.AfterFunc(*keyExpiry+10*time.Millisecond, c.bump)
	}
	return t
}

// full is what the node should see now.
func (c *ctl) full(req *tailcfg.MapRequest) (*tailcfg.MapResponse, error) {
	res, err := c.s.MapResponse(req)
	if err != nil || res == nil {
		return nil, errors.Join(err, errors.New("unknown node"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UTC()
	res.ControlTime = &now // testcontrol's is a constant in 2020, which breaks key expiry
	if c.filter != nil {
		res.PacketFilter = c.filter
		if len(c.filter) == 0 { // an empty PacketFilter is left out of the JSON, and so means "as before"
			res.PacketFilter, res.PacketFilters = nil, map[string][]tailcfg.FilterRule{"base": {}}
		}
	}
	res.Node.KeyExpiry = c.expiryOf(res.Node.Key)
	res.Node.Expired = !res.Node.KeyExpiry.IsZero() && now.After(res.Node.KeyExpiry)
	c.names[res.Node.ComputedName] = res.Node.Key
	c.names[strings.SplitN(res.Node.Name, ".", 2)[0]] = res.Node.Key
	var peers []*tailcfg.Node
	for _, p := range append(res.Peers, c.fakes...) {
		if c.removed[strings.SplitN(p.Name, ".", 2)[0]] {
			continue
		}
		p.KeyExpiry = c.expiryOf(p.Key)
		p.Expired = !p.KeyExpiry.IsZero() && now.After(p.KeyExpiry)
		peers = append(peers, p)
	}
	res.Peers = peers
	return res, nil
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// diff turns a full response into what changed since prev (nil: nothing did).
func diff(prev, cur *tailcfg.MapResponse) *tailcfg.MapResponse {
	d := &tailcfg.MapResponse{ControlTime: cur.ControlTime, PingRequest: cur.PingRequest}
	changed := cur.PingRequest != nil
	old := map[tailcfg.NodeID]*tailcfg.Node{}
	for _, p := range prev.Peers {
		old[p.ID] = p
	}
	for _, p := range cur.Peers {
		if o, ok := old[p.ID]; !ok || !same(o, p) {
			d.PeersChanged, changed = append(d.PeersChanged, p), true
		}
		delete(old, p.ID)
	}
	for id := range old {
		d.PeersRemoved, changed = append(d.PeersRemoved, id), true
	}
	if !same(prev.Node, cur.Node) {
		d.Node, changed = cur.Node, true
	}
	if !same(prev.PacketFilter, cur.PacketFilter) || !same(prev.PacketFilters, cur.PacketFilters) {
		d.PacketFilter, d.PacketFilters, changed = cur.PacketFilter, cur.PacketFilters, true
	}
	if !same(prev.DNSConfig, cur.DNSConfig) {
		d.DNSConfig, changed = cur.DNSConfig, true
	}
	if !reflect.DeepEqual(prev.UserProfiles, cur.UserProfiles) {
		d.UserProfiles, changed = cur.UserProfiles, true
	}
	if !changed {
		return nil
	}
	return d
}

func (c *ctl) mapStream(ctx context.Context, w testcontrol.MapStreamWriter, req *tailcfg.MapRequest) {
	n := c.s.Node(req.NodeKey)
	if n == nil {
		log.Printf("map request from an unknown node %v", req.NodeKey)
		return
	}
	// As tailcfg says: a streaming request of version 68 or later changes nothing.
	if !req.ReadOnly && !(req.Stream && req.Version >= 68) {
		n.Endpoints, n.DiscoKey, n.Cap = req.Endpoints, req.DiscoKey, req.Version
		if req.Hostinfo != nil {
			n.Hostinfo = req.Hostinfo.View()
			if ni := n.Hostinfo.NetInfo(); ni.Valid() && ni.PreferredDERP() != 0 {
				n.HomeDERP = ni.PreferredDERP()
			}
		}
		c.s.UpdateNode(n)
		c.bump()
	}
	if !req.Stream {
		if !req.OmitPeers {
			if res, err := c.full(req); err == nil {
				w.SendMapMessage(res)
			}
		}
		return
	}
	c.mu.Lock()
	c.streams[req.NodeKey]++
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.streams[req.NodeKey]--; c.mu.Unlock() }()
	var prev *tailcfg.MapResponse
	for {
		c.mu.Lock()
		gen, raw, garbage := c.gen, c.raw[req.NodeKey], c.garbage[req.NodeKey]
		delete(c.raw, req.NodeKey)
		delete(c.garbage, req.NodeKey)
		c.mu.Unlock()
		if garbage != nil && prev != nil {
			lw := lowLevel(w)
			lw.Write(garbage)
			lw.(http.Flusher).Flush()
		}
		for _, r := range raw {
			if w.SendMapMessage(r) != nil {
				return
			}
		}
		cur, err := c.full(req)
		if err != nil {
			return
		}
		msg := cur
		if prev != nil && *delta {
			msg = diff(prev, cur)
		}
		if msg != nil && w.SendMapMessage(msg) != nil {
			return
		}
		cur.PingRequest = nil
		prev = cur
	wait:
		for {
			select {
			case <-ctx.Done():
				return
			case <-gen:
				break wait
			case <-time.After(*keepAlive):
				if w.SendMapMessage(&tailcfg.MapResponse{KeepAlive: true}) != nil {
					return
				}
			}
		}
	}
}

// admin serves /lab/.
func (c *ctl) admin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query() // not FormValue: it would eat the body
	c.mu.Lock()
	nk, known := c.names[q.Get("node")]
	c.mu.Unlock()
	need := func() bool {
		if !known {
			http.Error(w, "no such node (needs ?node=NAME of one that polled the map)", 404)
		}
		return known
	}
	op := strings.TrimPrefix(r.URL.Path, "/lab/")
	if op != "nodes" && r.Method != "POST" {
		http.Error(w, "POST", 405)
		return
	}
	switch op {
	case "nodes": // all nodes as the server knows them, and how many map streams each has open
		c.mu.Lock()
		st := map[string]int{}
		for k, v := range c.streams {
			st[k.String()] = v
		}
		c.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"nodes": c.s.AllNodes(), "streams": st})
		return
	case "fake": // ?n=10 adds fake peers
		n, _ := strconv.Atoi(q.Get("n"))
		c.addFake(n)
	case "remove", "restore": // ?name=fake1: hide a peer from all others, or show it again
		c.mu.Lock()
		c.removed[q.Get("name")] = op == "remove"
		c.mu.Unlock()
	case "packetfilter": // body: JSON []tailcfg.FilterRule; empty body: allow all again
		b, _ := io.ReadAll(r.Body)
		var f []tailcfg.FilterRule
		if len(b) > 0 {
			if err := json.Unmarshal(b, &f); err != nil {
				http.Error(w, err.Error(), 400)
				return
			}
			if f == nil {
				f = []tailcfg.FilterRule{}
			}
		}
		c.mu.Lock()
		c.filter = f
		c.mu.Unlock()
	case "expire": // ?node=n1[&in=5s]: that node's key expires now or in a while
		if !need() {
			return
		}
		in, _ := time.ParseDuration(q.Get("in"))
		c.mu.Lock()
		c.expiry[nk] = time.Now().Add(in - time.Second)
		c.mu.Unlock()
		time.AfterFunc(in, c.bump)
	case "routes": // ?node=n1&routes=10.1.0.0/16,10.2.0.0/16: approve subnet routes
		if !need() {
			return
		}
		var rs []netip.Prefix
		for _, s := range strings.Split(q.Get("routes"), ",") {
			if p, err := netip.ParsePrefix(s); err == nil {
				rs = append(rs, p)
			}
		}
		c.s.SetSubnetRoutes(nk, rs)
	case "approve": // ?node=n1, with -machine-auth
		if !need() {
			return
		}
		n := c.s.Node(nk)
		n.MachineAuthorized = true
		c.s.UpdateNode(n)
	case "ping": // ?node=n1&types=disco,TSMP&ip=..&url=..: a PingRequest
		if !need() {
			return
		}
		ip, _ := netip.ParseAddr(q.Get("ip"))
		c.s.AddPingRequest(nk, &tailcfg.PingRequest{URL: q.Get("url"), Types: q.Get("types"), IP: ip, Log: true})
	case "raw": // ?node=n1, body: a JSON MapResponse sent as it is before the next update
		if !need() {
			return
		}
		var m tailcfg.MapResponse
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		c.mu.Lock()
		c.raw[nk] = append(c.raw[nk], &m)
		c.mu.Unlock()
	case "garbage": // ?node=n1&kind=length|zstd|json|type: a broken message
		if !need() {
			return
		}
		b := broken(q.Get("kind"))
		if b == nil {
			http.Error(w, "kind: length, zstd, json or type", 400)
			return
		}
		c.mu.Lock()
		c.garbage[nk] = b
		c.mu.Unlock()
	default:
		http.Error(w, "unknown", 404)
		return
	}
	c.bump()
	fmt.Fprintln(w, "ok")
}

func main() {
	flag.Parse()
	host, port, err := net.SplitHostPort(*listen)
	ip, _ := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		log.Fatalf("-listen %q: a loopback address and port", *listen)
	}
	url := *baseURL
	if url == "" {
		url = "http://" + *listen
		if *certFile != "" {
			url = "https://localhost:" + port
		}
	}
	var dm *tailcfg.DERPMap
	if *derpFile == "" {
		dm = integration.RunDERPAndSTUN(fakeTB{}, logger.Discard, "127.0.0.1")
	} else {
		b, err := os.ReadFile(*derpFile)
		if err == nil {
			err = json.Unmarshal(b, &dm)
		}
		if err != nil {
			log.Fatalf("-derpmap: %v", err)
		}
	}
	c := &ctl{gen: make(chan struct{}), expiry: map[key.NodePublic]time.Time{}, removed: map[string]bool{},
		names: map[string]key.NodePublic{}, streams: map[key.NodePublic]int{}, raw: map[key.NodePublic][]*tailcfg.MapResponse{},
		garbage: map[key.NodePublic][]byte{}}
	if *filterFile != "" {
		b, err := os.ReadFile(*filterFile)
		if err == nil {
			err = json.Unmarshal(b, &c.filter)
		}
		if err != nil {
			log.Fatalf("-packet-filter: %v", err)
		}
	}
	c.s = &testcontrol.Server{
		Logf: logger.Discard, DERPMap: dm, ExplicitBaseURL: url, Verbose: *verbose,
		RequireAuth: *interact, RequireAuthKey: *authKey, RequireMachineAuth: *machAuth,
		MagicDNSDomain: *domain, AllNodesSameUser: *sameUser, AllOnline: *online,
		AltMapStream: c.mapStream, CollectServices: "false",
	}
	if *verbose {
		c.s.Logf = log.Printf
	}
	if *domain != "" {
		c.s.DNSConfig = &tailcfg.DNSConfig{Proxied: true, Domains: []string{*domain}, Routes: map[string][]*dnstype.Resolver{*domain: nil}}
		for _, r := range strings.Split(*routes, ",") {
			if suffix, addr, ok := strings.Cut(r, "="); ok {
				c.s.DNSConfig.Routes[suffix] = append(c.s.DNSConfig.Routes[suffix], &dnstype.Resolver{Addr: addr})
			}
		}
	}
	c.addFake(*nFake)
	mux := http.NewServeMux()
	mux.HandleFunc("/lab/", c.admin)
	mux.HandleFunc("/auth/", func(w http.ResponseWriter, r *http.Request) {
		if !c.s.CompleteAuth(r.URL.Path) {
			http.Error(w, "no such login", 404)
			return
		}
		fmt.Fprintln(w, "logged in")
	})
	// testcontrol ends its process on a request it doesn't know; answer those here.
	mux.Handle("/ts2021", newWebSocketForm(c.s))
	for _, p := range []string{"/key", "/machine/", "/generate_204", "/c2n/"} {
		mux.Handle(p, c.s)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	// testcontrol makes its keys at the first GET /key, and panics on an
	// upgrade before that, which a client with a pinned key may send.
	c.s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/key?v=138", nil))
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for id, r := range dm.Regions {
		for _, n := range r.Nodes {
			log.Printf("DERP region %d: %s:%d, STUN port %d", id, n.HostName, n.DERPPort, n.STUNPort)
		}
	}
	log.Printf("control server at %s", url)
	if *certFile != "" {
		err = (&http.Server{Handler: mux, TLSNextProto: noH2}).ServeTLS(ln, *certFile, *keyFile)
	} else {
		err = http.Serve(ln, mux)
	}
	log.Fatal(err)
}

// The Upgrade of /ts2021 needs HTTP/1.1: offer no h2 in ALPN.
var noH2 = map[string]func(*http.Server, *tls.Conn, http.Handler){}

// fakeTB: integration.RunDERPAndSTUN wants a testing.TB.
type fakeTB struct{ *testing.T }

func (fakeTB) Cleanup(func())            {}
func (fakeTB) Helper()                   {}
func (fakeTB) Name() string              { return "controlserver" }
func (fakeTB) Log(a ...any)              {}
func (fakeTB) Logf(f string, a ...any)   {}
func (fakeTB) Fatal(a ...any)            { log.Fatal(a...) }
func (fakeTB) Fatalf(f string, a ...any) { log.Fatalf(f, a...) }
func (fakeTB) Error(a ...any)            { log.Fatal(a...) }
func (fakeTB) Errorf(f string, a ...any) { log.Fatalf(f, a...) }
