// Command tailnet is a tailnet without Tailscale's servers: a control server, a relay (DERP) and a STUN server on
// loopback, on ports that the kernel picks. The tests join real tailscaled to it.
//
// It prints one line of JSON, {"control": URL}, and serves until its stdin ends. Each line there is a command, answered
// by a line: see [command].
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/dnstype"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
	"tailscale.com/util/mak"
)

const loopback = "127.0.0.1"

func main() {
	authKey := flag.String("auth-key", "", "the only auth key that lets a node in; empty: everybody comes in")
	domain := flag.String("domain", "example.ts.net", "the MagicDNS domain")
	flag.Parse()

	stunPort, err := serveSTUN()
	if err != nil {
		log.Fatalf("STUN: %v", err)
	}
	control := &testcontrol.Server{
		Logf:           logger.Discard,
		DERPMap:        relays(serveDERP(), stunPort),
		DNSConfig:      &tailcfg.DNSConfig{Proxied: true, Domains: []string{*domain}},
		MagicDNSDomain: *domain,
		RequireAuthKey: *authKey,
	}
	control.HTTPTestServer = httptest.NewServer(control)
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"control": control.HTTPTestServer.URL}); err != nil {
		log.Fatalf("stdout: %v", err)
	}
	// The parent holds the other end: when it ends, however it ends, so does this.
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(command(control, strings.Fields(lines.Text())))
	}
	if err := lines.Err(); err != nil {
		log.Fatalf("stdin: %v", err)
	}
}

// command does what an admin does to the machines of a name, and says to how many.
//
//	expire NAME   its key is no longer valid
//	routes NAME   all routes that it advertises are approved, once it does
//
// or to the DNS of the tailnet, and says how many machines hear of it:
//
//	resolver DOMAIN IP:PORT   a split DNS route: names of the domain are resolved by that name server
//	search DOMAIN             short names are searched there, too
func command(control *testcontrol.Server, words []string) int {
	switch {
	case len(words) == 3 && words[0] == "resolver":
		return setDNS(control, func(dns *tailcfg.DNSConfig) {
			mak.Set(&dns.Routes, words[1], []*dnstype.Resolver{{Addr: words[2]}})
		})
	case len(words) == 2 && words[0] == "search":
		return setDNS(control, func(dns *tailcfg.DNSConfig) {
			if !slices.Contains(dns.Domains, words[1]) {
				dns.Domains = append(dns.Domains, words[1])
			}
		})
	case len(words) != 2:
		return 0
	}
	count := 0
	for _, node := range control.AllNodes() {
		if node.Hostinfo.Hostname() != words[1] {
			continue
		}
		switch words[0] {
		case "expire":
			node.KeyExpiry = time.Now().Add(-time.Minute)
			control.UpdateNode(node)
			go renew(control, node)
		case "routes":
			routes := node.Hostinfo.RoutableIPs().AsSlice()
			if len(routes) == 0 {
				continue // it was told to advertise them, and has yet to say so here
			}
			control.SetSubnetRoutes(node.Key, routes)
		}
		count++
	}
	return count
}

// setDNS puts a changed copy in the place of the settings, of which the server makes copies at any time.
func setDNS(control *testcontrol.Server, change func(*tailcfg.DNSConfig)) int {
	dns := control.DNSConfig.Clone()
	change(dns)
	control.DNSConfig = dns
	nodes := control.AllNodes()
	for _, node := range nodes {
		control.UpdateNode(node)
	}
	return len(nodes)
}

// renew waits until a machine has another key than the expired one, lets that be valid (the test server would give it
// the end of the old one) and retires the old one.
func renew(control *testcontrol.Server, expired *tailcfg.Node) {
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		for _, node := range control.AllNodes() {
			if node.ID == expired.ID && node.Key != expired.Key {
				retire(control, expired)
				node.KeyExpiry = time.Time{}
				control.UpdateNode(node)
				return
			}
		}
	}
}

// retire makes another machine, with no name and no address, of one whose key was replaced. The test server keeps it
// beside its successor, with the same ID: the other nodes would know the machine by either key, as chance has it.
func retire(control *testcontrol.Server, replaced *tailcfg.Node) {
	const beyondAllIDs = 1 << 20
	replaced.ID += beyondAllIDs
	replaced.StableID = tailcfg.StableNodeID(fmt.Sprintf("retired%d", replaced.ID))
	replaced.Name = fmt.Sprintf("retired%d.", replaced.ID)
	replaced.Addresses, replaced.AllowedIPs = nil, nil
	replaced.Hostinfo = (&tailcfg.Hostinfo{}).View()
	control.UpdateNode(replaced)
}

// serveDERP starts a relay and gives its port. Nodes that cannot reach each other directly meet there, and all of them
// begin there.
func serveDERP() int {
	relay := derpserver.New(key.NewNode(), logger.Discard)
	server := httptest.NewUnstartedServer(derpserver.Handler(relay))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	// DERP takes the connection over, which HTTP/2 does not let it do.
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	server.StartTLS()
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// serveSTUN answers binding requests (RFC 8489), by which a node learns its own address, and gives its port.
func serveSTUN() (int, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(loopback)})
	if err != nil {
		return 0, err
	}
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			id, err := stun.ParseBindingRequest(packet[:n])
			if err != nil {
				continue
			}
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if _, err := socket.WriteToUDPAddrPort(stun.Response(id, from), from); err != nil {
				fmt.Fprintf(os.Stderr, "STUN: %v\n", err)
			}
		}
	}()
	return socket.LocalAddr().(*net.UDPAddr).Port, nil
}

// relays is the map of relays that the control server hands out: the one.
func relays(derpPort, stunPort int) *tailcfg.DERPMap {
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{
		1: {
			RegionID:   1,
			RegionCode: "test",
			Nodes: []*tailcfg.DERPNode{{
				Name:             "1a",
				RegionID:         1,
				HostName:         loopback,
				IPv4:             loopback,
				IPv6:             "none",
				STUNPort:         stunPort,
				STUNTestIP:       loopback,
				DERPPort:         derpPort,
				InsecureForTests: true,
			}},
		},
	}}
}
