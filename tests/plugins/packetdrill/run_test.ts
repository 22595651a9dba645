import { assertEquals, assertStringIncludes } from "@std/assert";
import { resultText, runScript, type ScriptResult } from "../../../plugins/lab/packetdrill/mod.ts";

/** A connected UDP socket on descriptor 3. */
const UDP = `
   0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
  +0 bind(3, ..., ...) = 0
  +0 connect(3, ..., ...) = 0
`;

function run(lines: string, options = ""): ScriptResult {
  return runScript("x.pkt", options + UDP + lines);
}

function passes(lines: string, options = ""): void {
  const result = run(lines, options);
  assertEquals(result.result, "pass", resultText(result));
}

function fails(lines: string, error: string, verdict = "fail"): ScriptResult {
  const result = run(lines);
  assertEquals([result.result, result.error], [verdict, error]);
  return result;
}

Deno.test("a datagram each way, and what an ICMP error does", () => {
  passes(`
   +0 write(3, ..., 100) = 100
   +0 > udp (100)
  +.1 < udp (20)
   +0 read(3, ..., 1000) = 20
   +0 < icmp unreachable port_unreachable
   +0 write(3, ..., 1) = -1 ECONNREFUSED (Connection refused)
   +0 write(3, ..., 1) = 1
   +0 > udp (1)
  `);
});

Deno.test("a datagram to a closed port is answered with port unreachable", () => {
  passes(`
   +0 write(3, ..., 1) = 1
   +0 > udp (1)
   +0 close(3) = 0
   +0 < udp (30)
   +0 > icmp unreachable port_unreachable
  `);
});

Deno.test("what was sent and what was expected stand side by side", () => {
  const result = fails(
    "+0 write(3, ..., 100) = 100\n+.5 > udp (99)\n",
    "500000 usec early: expected at 0.500000 sec, " +
      "happened at 0.000000 sec, tolerance 62500 usec",
  );
  assertEquals(result.line, 6);
  const other = fails("+0 write(3, ..., 100) = 100\n+0 > udp (99)\n", "payload bytes 100, not 99");
  assertEquals(
    resultText(other),
    [
      "FAIL x.pkt:6: payload bytes 100, not 99",
      "       line: +0 > udp (99)",
      "   expected: > udp (99)",
      "     actual: 0.000000 > udp (100) [192.168.0.1:8080 > 192.0.2.1:8080]",
    ].join("\n"),
  );
});

Deno.test("a packet that does not come is missing, after the runner's patience in virtual time", () => {
  const began = performance.now();
  const result = fails(
    "+0 > udp (99)\n",
    "missing packet: nothing was sent up to 2.004000 sec",
  );
  assertEquals([result.expected, result.actual], ["> udp (99)", "nothing was sent"]);
  assertEquals(performance.now() - began < 2000, true);
});

Deno.test("one packet more than expected at the end is not noticed, one in between is", () => {
  passes("+0 write(3, ..., 1) = 1\n");
  fails("+0 write(3, ..., 1) = 1\n+0 write(3, ..., 2) = 2\n+0 > udp (2)\n", "payload bytes 1, not 2");
});

Deno.test("times: tolerance of 4 ms or 12.5 %, as options say, ranges, any", () => {
  // The datagram leaves when the blocking write is made: at 10 ms.
  const late = (line: string, options = ""): string => run(`+.010 write(3, ..., 1) = 1\n${line}`, options).result;
  assertEquals(late("0.013 > udp (1)"), "pass");
  assertEquals(late("0.015 > udp (1)"), "fail");
  assertEquals(late("0.015 > udp (1)", "--tolerance_usecs=5000\n"), "pass");
  assertEquals(late("0.0145~0.1 > udp (1)"), "fail");
  assertEquals(late("0.0~0.1 > udp (1)"), "pass");
  assertEquals(late("* > udp (1)"), "pass");
  const slow = (at: string): string => run(`+1 write(3, ..., 1) = 1\n+0 < udp (1)\n${at} > udp (1)`).result;
  assertEquals(slow("+0"), "pass");
  assertEquals(slow("+.1"), "fail");
  assertEquals(run("+.010 write(3, ..., 1) = 1\n0.013 > udp (1)").slip.toFixed(0), "3000");
});

Deno.test("blocking calls return when their time has come", () => {
  passes("+0...0.2 read(3, ..., 100) = 7\n+.2 < udp (7)\n+.1 write(3, ..., 1) = 1\n");
  fails("+0...0.1 read(3, ..., 100) = 7\n+.2 < udp (7)\n", "read() returned at 0.200000 sec, expected at 0.100000 sec");
  fails("+0...0.1 read(3, ..., 100) = 7\n", "read() waits; it should have returned at 0.100000 sec");
  // The next call waits for the one that blocks.
  fails(
    "+0...0.2 read(3, ..., 9) = 7\n+0 write(3, ..., 1) = 1\n",
    "read() waits; it should have returned at 0.200000 sec",
  );
});

Deno.test("a call that is not blocking does not wait where O_NONBLOCK is set", () => {
  passes(`
   +0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)
   +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
   +0 fcntl(3, F_GETFL) = 0x802
   +0 read(3, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)
   +0 recv(3, ..., 10, MSG_DONTWAIT) = -1 EAGAIN (again)
  `);
});

Deno.test("results and errnos are compared", () => {
  fails("+0 write(3, ..., 5) = 4\n", "the call gave 5, not 4");
  fails("+0 write(3, ..., 5) = -1 EPIPE (x)\n", "the call gave 5, not -1 EPIPE");
  fails("+0 close(9) = 0\n", "the call gave -1 EBADF, not 0");
  fails("+0 close(9) = -1 EPIPE (x)\n", "the call gave -1 EBADF, not -1 EPIPE");
  passes("+0 close(9) = -1 EBADF (x)\n+0 close(9) = -1 (any)\n");
});

Deno.test("options of sockets", () => {
  passes(`
   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0 getsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], [4]) = 0
   +0 setsockopt(3, SOL_SOCKET, SO_SNDBUF, [10000], 4) = 0
   +0 getsockopt(3, SOL_SOCKET, SO_SNDBUF, [20000], [4]) = 0
   +0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
   +0 < icmp unreachable port_unreachable
   +0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0
  `);
  fails("+0 getsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], [4]) = 0\n", "SO_REUSEADDR is 0, not [1]");
});

Deno.test("poll and epoll: level, edge, one shot", () => {
  passes(`
   +0...0.1 poll([{fd=3, events=POLLIN, revents=POLLIN}], 1, 1000) = 1
  +.1 < udp (5)
   +0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLIN|POLLOUT}], 1, 0) = 1
   +0 epoll_create(1) = 5
   +0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN|EPOLLET, fd=3}) = 0
   +0 epoll_wait(5, {events=EPOLLIN, fd=3}, 1, 0) = 1
   +0 epoll_wait(5, {events=0, ptr=0}, 1, 0) = 0
   +0 < udp (6)
   +0 epoll_wait(5, {events=EPOLLIN, fd=3}, 1, 0) = 1
   +0 epoll_wait(5, {events=0, ptr=0}, 1, 0) = 0
   +0 epoll_ctl(5, EPOLL_CTL_MOD, 3, {events=EPOLLIN|EPOLLONESHOT, fd=3}) = 0
   +0 epoll_wait(5, {events=EPOLLIN, fd=3}, 1, 0) = 1
   +0 epoll_wait(5, {events=0, ptr=0}, 1, 0) = 0
   +0 epoll_ctl(5, EPOLL_CTL_MOD, 3, {events=EPOLLIN, fd=3}) = 0
   +0 epoll_wait(5, {events=EPOLLIN, fd=3}, 1, 0) = 1
   +0 epoll_wait(5, {events=EPOLLIN, fd=3}, 1, 0) = 1
  `);
  fails("+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1\n", "revents is POLLOUT, not POLLIN");
  // A timeout in virtual time.
  passes("+0...0.05 poll([{fd=3, events=POLLIN, revents=0}], 1, 50) = 0\n");
});

Deno.test("commands: tunables, a hole in the link, the link itself", () => {
  passes(`
   +0 \`sysctl -q net.ipv4.ip_default_ttl=33\`
   +0 write(3, ..., 1) = 1
   +0 > [ttl 33] udp (1)
   +0 \`tc qdisc delete dev tun0 root 2>/dev/null ; tc qdisc add dev tun0 root pfifo limit 0\`
   +0 write(3, ..., 2) = 2
   +0 \`tc qdisc del dev tun0 root\`
   +0 write(3, ..., 3) = 3
   +0 > udp (3)
   +0 \`ip link set dev tun0 mtu 9000\`
   +0 write(3, ..., 8000) = 8000
   +0 > udp (8000)
   +0 \`/tmp/sysctl_restore_\${PPID}.sh\`
  `);
  fails("+0 `sysctl -q net.ipv4.no_such=1`\n", "sysctl net.ipv4.no_such", "unsupported");
  fails("+0 `make me a sandwich`\n", 'the command "make me a sandwich"', "unsupported");
  fails("+0 `false`\n", "the command fails");
});

Deno.test("commands: counters since nstat looked last, files of zeros", () => {
  passes(`
   +0 write(3, ..., 1) = 1
   +0 \`nstat > /dev/null\`
   +0 write(3, ..., 1) = 1
   +0 write(3, ..., 1) = 1
   +0 \`nstat | grep UdpOutDatagrams | grep -q " 2 "\`
   +0 \`rm -f /tmp/x\`
   +0 open("/tmp/x", O_RDONLY) = -1 ENOENT (none)
   +0 \`/bin/dd bs=10 count=5 if=/dev/zero of=/tmp/x status=none\`
   +0 open("/tmp/x", O_RDONLY) = 7
   +0 sendfile(3, 7, [0], 100) = 50
  `);
  fails("+0 `nstat -n`\n+0 `nstat | grep UdpOutDatagrams > /dev/null`\n", "UdpOutDatagrams grew by 0");
  fails("+0 `nstat | grep TcpExtNoSuch`\n", "counter TcpExtNoSuch", "unsupported");
});

Deno.test("what the interpreter or the stack has not is unsupported, never a pass", () => {
  fails("+0 mmap(3) = 0\n", "the system call mmap()", "unsupported");
  fails("+0 setsockopt(3, SOL_SOCKET, SO_NOTHING, [1], 4) = 0\n", "the name SO_NOTHING", "unsupported");
  const v6 = run("+0 close(3) = 0\n", "--ip_version=ipv6\n");
  assertEquals([v6.result, v6.line], ["unsupported", 1]);
  const option = run("+0 close(3) = 0\n", "--wire_server\n");
  assertEquals([option.result, option.error], ["unsupported", "option --wire_server"]);
});

Deno.test("asserts run where they stand, with the socket's memory", () => {
  passes(
    "+0 %{ x = SK_MEMINFO_RCVBUF }%\n+0 setsockopt(3, SOL_SOCKET, SO_RCVBUF, [5000], 4) = 0\n" +
      "+0 %{ assert SK_MEMINFO_RCVBUF == 10000 and x != 10000 }%\n",
  );
  const result = run("+0 %{ assert SK_MEMINFO_RCVBUF == 1, SK_MEMINFO_RCVBUF }%\n");
  assertEquals([result.result, result.line], ["fail", 5]);
  assertStringIncludes(result.error, "assert SK_MEMINFO_RCVBUF == 1");
});

Deno.test("a script that is no script fails with its line", () => {
  const result = runScript("bad.pkt", "0 close(3) = 0\n0 nonsense\n");
  assertEquals([result.result, result.line, result.error], ["fail", 2, 'bad.pkt:2: "(" expected, at ""']);
});

Deno.test("the same script gives the same result, and another seed too", () => {
  const text = UDP + "+0 write(3, ..., 10) = 10\n+0 > udp (10)\n+.1 < udp (20)\n+0 read(3, ..., 100) = 20\n";
  const trace = (seed: number): string[] => {
    const lines: string[] = [];
    assertEquals(runScript("x.pkt", text, { seed, trace: (l) => lines.push(l) }).result, "pass");
    return lines;
  };
  assertEquals(trace(1), trace(1));
  trace(2);
});
