package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// proxyRounds are rounds of load, each of loadLength for every proxy.
	proxyRounds      = 9
	proxyConnections = 64
	// serverTime bounds how long a server is waited for, when it starts and when it ends.
	serverTime = 20 * time.Second
)

// relay measures what a request costs the processor in the broker, beside other proxies
// that set a token, and prints rows of the table. All of them are before one backend, which
// refuses what does not carry that token.
func relay(dir, command string) error {
	if runtime.GOOS != "linux" {
		fmt.Fprintln(os.Stderr, "bench: proxies are left out: CPU time is read from /proc, which is Linux's")
		return nil
	}
	for _, program := range []string{"wrk", "nginx"} {
		if ok, err := installed(program, "proxies are"); !ok {
			return err
		}
	}
	backend, err := startBackend(dir)
	if err != nil {
		return err
	}
	defer backend.end()
	proxies, err := startReferences(dir, backend.url)
	defer func() {
		for _, p := range proxies {
			p.end()
		}
	}()
	if err != nil {
		return err
	}
	broker, err := startBroker(command, backend.url)
	if err != nil {
		return err
	}
	reference := proxies[0]
	proxies = slices.Insert(proxies, 1, broker) // so that its turn is next to the reference's
	order := slices.Clone(proxies)
	for round := range 1 + proxyRounds {
		slices.Reverse(order) // so that what slows all of them down harms each as often
		for _, p := range order {
			cpu, err := p.measure()
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if round > 0 { // the first one has connections made and memory taken
				p.cpu = append(p.cpu, cpu)
			}
		}
	}
	const against = "tuned `httputil.ReverseProxy`"
	r := spreadOf(broker.against(reference))
	fmt.Printf("| %s, HTTP/1.1 keep-alive, CPU a request | %s | %v | ≤ 1 | | | %s |\n", broker.name, against, r, verdictOf(r.median <= 1))
	for _, p := range proxies[2:] {
		fmt.Printf("| the same by %s | %s | %v | | | | |\n", p.name, against, spreadOf(p.against(reference)))
	}
	own := spreadOf(reference.cpu)
	fmt.Printf("| what that is, %s | | %.0f µs (%.0f to %.0f) | | | | |\n", against, own.median, own.low, own.high)
	return nil
}

// startBroker starts the broker, and waits until it says where it is.
func startBroker(command, backend string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(command, "broker", "--upstream", backend, "--listen", address)
	cmd.Env = append(os.Environ(), "CLAUDE_CODE_SESSION_ACCESS_TOKEN="+endingJWT)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s, err := startServer("broker", cmd, address)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(serverTime, s.kill) // which ends the line, too
	line, err := bufio.NewReader(out).ReadBytes('\n')
	late.Stop()
	var ready struct{ URL, Phantom string }
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err == nil && (ready.URL == "" || ready.Phantom == "") {
		err = errors.New("it does not say where it is, and what a request must carry")
	}
	if err != nil {
		s.end()
		return nil, fmt.Errorf("the broker printed %q: %w", line, err)
	}
	go io.Copy(io.Discard, out) // so that nothing that it prints can stop it
	s.url, s.bearer = ready.URL, ready.Phantom
	return s, nil
}

// startReferences starts the other proxies, that which the rest is compared with first. Those
// that were started it returns also with an error.
func startReferences(dir, backend string) (started []*server, err error) {
	start := func(name string, cmd *exec.Cmd, address string) error {
		s, err := startServer(name, cmd, address)
		if err == nil {
			started = append(started, s)
		}
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	tuned := exec.Command(self, backend)
	tuned.Env = append(os.Environ(), proxyVariable+"="+address)
	if err := start("httputil", tuned, address); err != nil {
		return started, err
	}
	backend = strings.TrimPrefix(backend, "http://")
	if address, err = freeAddress(); err != nil {
		return started, err
	}
	cmd, err := nginx(filepath.Join(dir, "nginx"), 2, fmt.Sprintf(nginxProxy, backend, address, endingJWT))
	if err != nil {
		return started, err
	}
	if err := start("nginx", cmd, address); err != nil {
		return started, err
	}
	if ok, err := installed("haproxy", "HAProxy is"); !ok {
		return started, err
	}
	if address, err = freeAddress(); err != nil {
		return started, err
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, haproxyProxy, address, endingJWT, backend), 0o600); err != nil {
		return started, err
	}
	return started, start("HAProxy", exec.Command("haproxy", "-db", "-q", "-f", file), address)
}

// startBackend starts what answers, and takes little from the proxies as it does.
func startBackend(dir string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd, err := nginx(filepath.Join(dir, "backend"), 1, fmt.Sprintf(nginxBackend, address, endingJWT))
	if err != nil {
		return nil, err
	}
	return startServer("backend", cmd, address)
}

// What servers are told. A connection is good for any number of requests, so that no server
// makes more of them than the others.
const (
	nginxBackend = `
	server {
		listen %s;
		location / {
			if ($http_authorization != "Bearer %s") { return 401; }
			default_type text/plain;
			return 200 "hello, world!";
		}
	}`
	nginxProxy = `
	upstream backend {
		server %s;
		keepalive 256;
		keepalive_requests 1000000000;
	}
	server {
		listen %s reuseport;
		location / {
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Authorization "Bearer %s";
		}
	}`
	haproxyProxy = `
global
	nbthread 2
	maxconn 1024
defaults
	mode http
	timeout connect 5s
	timeout client 10m
	timeout server 10m
	http-reuse always
frontend clients
	bind %s
	http-request set-header Authorization "Bearer %s"
	default_backend upstream
backend upstream
	server backend %s pool-max-conn 256
`
)

// nginx returns the command that serves, with what it needs in a directory of its own.
func nginx(dir string, workers int, servers string) (*exec.Cmd, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "daemon off;\npid nginx.pid;\nerror_log stderr crit;\nworker_processes %d;\n", workers)
	text.WriteString("events { worker_connections 1024; }\nhttp {\n\taccess_log off;\n\tkeepalive_timeout 10m;\n\tkeepalive_requests 1000000000;\n")
	// It makes them all when it starts, by default where only root may.
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&text, "\t%s_temp_path %s;\n", kind, kind)
	}
	text.WriteString(servers + "\n}\n")
	file := filepath.Join(dir, "nginx.conf")
	return exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", file), os.WriteFile(file, []byte(text.String()), 0o600)
}

// proxyVariable makes this program the proxy that others are compared with. It listens on the
// address in it, and passes requests on to the URL that is its argument.
const proxyVariable = "INGRESSAUTH_BENCH_PROXY"

// proxy serves until it is killed. To keep connections and buffers is what others do, too.
func proxy(address, backend string) error {
	upstream, err := url.Parse(backend)
	if err != nil {
		return err
	}
	return (&http.Server{Addr: address, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", "Bearer "+endingJWT)
		},
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 1024, DisableCompression: true, ReadBufferSize: 4096, WriteBufferSize: 4096,
		},
		BufferPool: &buffers{sync.Pool{New: func() any { return new(buffer) }}},
		// wrk leaves while requests are under way, a line each. What it was answered it counts.
		ErrorLog: log.New(io.Discard, "", 0),
	}}).ListenAndServe()
}

type buffer [32 << 10]byte

// buffers keeps pointers, since a slice in a pool is an allocation.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte     { return b.pool.Get().(*buffer)[:] }
func (b *buffers) Put(used []byte) { b.pool.Put((*buffer)(used)) }

// server is a process that serves, perhaps by children of its own.
type server struct {
	name, url string
	bearer    string // what requests to it carry
	cmd       *exec.Cmd
	cpu       []float64 // microseconds a request, for each round
}

// freeAddress returns one on loopback, on which nobody listens. A connection was closed there just
// now, at this end first, and while the kernel remembers that, for a minute, nobody gets the port
// but who asks for it by its number.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return "", err
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		return "", err
	}
	if err := c.Close(); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, client); err != nil { // to the end
		return "", err
	}
	return l.Addr().String(), nil
}

// startServer starts a server and waits until it listens.
func startServer(name string, cmd *exec.Cmd, address string) (*server, error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: name, url: "http://" + address, bearer: "x", cmd: cmd}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return s, nil
		}
		if time.Since(begun) > serverTime {
			s.end()
			return nil, fmt.Errorf("%s does not listen: %w", name, err)
		}
	}
}

// end asks the server to end, and makes it if it does not.
func (s *server) end() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(serverTime, s.kill)
	s.cmd.Wait()
	late.Stop()
}

// kill ends the server and its children, which could live on without it.
func (s *server) kill() {
	pids, _, _ := family(s.cmd.Process.Pid)
	for _, pid := range pids {
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	}
}

// measure returns how many microseconds of CPU time a request takes, in one turn of load.
func (s *server) measure() (float64, error) {
	_, before, err := family(s.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	requests, _, err := load(s.url, s.bearer, proxyConnections)
	if err != nil {
		return 0, err
	}
	_, after, err := family(s.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	return float64((after - before).Microseconds()) / requests, nil
}

// against returns the ratio to a reference for each round.
func (s *server) against(reference *server) (ratios []float64) {
	for i, cpu := range s.cpu {
		ratios = append(ratios, cpu/reference.cpu[i])
	}
	return ratios
}

// clockTick is the unit of CPU times in /proc, on every architecture that Go has.
const clockTick = time.Second / 100

// family returns a process and all that descends from it, and the CPU time that they have
// taken. It looks at all processes, as not every kernel lists the children of one.
func family(pid int) (pids []int, cpu time.Duration, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, 0, err
	}
	children, times := map[int][]int{}, map[int]time.Duration{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended since
		}
		if err != nil {
			return nil, 0, err
		}
		// A name may hold anything, but what follows it no bracket: state, parent and so on.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		var numbers [4]int
		for i, s := range []string{filepath.Base(filepath.Dir(file)), fields[1], fields[11], fields[12]} {
			if numbers[i], err = strconv.Atoi(s); err != nil {
				return nil, 0, fmt.Errorf("%s: %w", file, err)
			}
		}
		of, parent := numbers[0], numbers[1]
		children[parent] = append(children[parent], of)
		times[of] = time.Duration(numbers[2]+numbers[3]) * clockTick // of the program, and for it in the kernel
	}
	if _, ok := times[pid]; !ok {
		return nil, 0, fmt.Errorf("process %d has ended", pid)
	}
	pids = []int{pid}
	for i := 0; i < len(pids); i++ {
		cpu += times[pids[i]]
		pids = append(pids, children[pids[i]]...)
	}
	return pids, cpu, nil
}
