/** Scripts of our own over the stack's TCP: what the interpreter maps, joins and compares. */
import { assertEquals } from "@std/assert";
import { mutateScripts, resultText, runScript, type ScriptResult } from "../../../plugins/lab/packetdrill/mod.ts";

const SERVER = `
\`sysctl -q net.ipv4.tcp_timestamps=0\`
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
  +0 bind(3, ..., ...) = 0
  +0 listen(3, 1) = 0
  +0 < S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop,nop,wscale 7>
  +0 > S. 0:0(0) ack 1 <...>
 +.1 < . 1:1(0) ack 1 win 512
  +0 accept(3, ..., ...) = 4
`;

const CLIENT = `
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
  +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
  +0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 10>
 +.1 < S. 500:500(0) ack 1 win 65535 <mss 1000,sackOK,TS val 7000 ecr 100,nop,wscale 7>
  +0 > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 7000>
  +0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
`;

function run(script: string): ScriptResult {
  return runScript("tcp.pkt", script);
}

function passes(script: string): void {
  const result = run(script);
  assertEquals(result.result, "pass", resultText(result));
}

function fails(script: string, error: string): void {
  const result = run(script);
  assertEquals([result.result, result.error], ["fail", error]);
}

Deno.test("a passive open, data both ways, an orderly end", () => {
  passes(
    SERVER + `
   +0 < P. 1:501(500) ack 1 win 512
   +0 > . 1:1(0) ack 501
   +0 read(4, ..., 1000) = 500
   +0 write(4, ..., 700) = 700
   +0 > P. 1:701(700) ack 501
  +.1 < . 501:501(0) ack 701 win 512
   +0 close(4) = 0
   +0 > F. 701:701(0) ack 501
  +.1 < F. 501:501(0) ack 702 win 512
   +0 > . 702:702(0) ack 502
  `,
  );
});

Deno.test("an active open: the script's numbers and time stamps are names", () => {
  passes(
    CLIENT + `
   +0 write(3, ..., 100) = 100
   +0 > P. 1:101(100) ack 1 <nop,nop,TS val 200 ecr 7000>
  +.1 < . 1:1(0) ack 101 win 512 <nop,nop,TS val 7100 ecr 200>
   +0 %{ assert tcpi_state == TCP_ESTABLISHED and tcpi_unacked == 0, tcpi_unacked }%
   +0 %{ assert tcpi_options & TCPI_OPT_TIMESTAMPS and 90000 <= tcpi_rtt <= 110000, tcpi_rtt }%
  `,
  );
  fails(
    CLIENT.replace("ecr 7000>\n  +0 gets", "ecr 7001>\n  +0 gets"),
    "options <nop,nop,TS val 200 ecr 7000>, not <nop,nop,TS val 200 ecr 7001>",
  );
});

Deno.test("one line stands for the segments of a super-packet, whole or cut", () => {
  const lines = (options: string, command: string): string =>
    options + SERVER + "+0 `sysctl -q net.ipv4.tcp_min_tso_segs=10`\n" + command +
    "+0 write(4, ..., 5000) = 5000\n+0 > P. 1:5001(5000) ack 1\n";
  passes(lines("", ""));
  passes(lines("", "+0 `ethtool -K tun0 tso off gso off`\n"));
  passes(lines("--strict_segments\n", ""));
  fails(
    lines("--strict_segments\n", "+0 `ethtool -K tun0 tso off gso off`\n"),
    "flags ., not P.; payload bytes 1000, not 5000",
  );
});

// Recorded from Linux 6.18: a TUN knows the size of the segments, not their number, and TCP counts one.
Deno.test("an injected packet longer than a segment is one that knows the size of its segments", () => {
  passes(
    "--mss=1000\n" + SERVER + `
   +0 < P. 1:10001(10000) ack 1 win 512
   +0 > . 1:1(0) ack 10001
   +0 read(4, ..., 20000) = 10000
   +0 %{ assert tcpi_rcv_mss == 1000 and tcpi_segs_in == 3, tcpi_segs_in }%
   +0 %{ assert tcpi_data_segs_in == 1, tcpi_data_segs_in }%
  `,
  );
});

Deno.test("blocking accept and connect return in virtual time", () => {
  passes(`
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0...0.2 accept(3, ..., ...) = 4
  +.1 < S 0:0(0) win 65535 <mss 1000>
   +0 > S. 0:0(0) ack 1 <mss 1460>
  +.1 < . 1:1(0) ack 1 win 65535
   +0 write(4, ..., 10) = 10
   +0 > P. 1:11(10) ack 1
  `);
  passes(`
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0...0.1 connect(3, ..., ...) = 0
   +0 > S 0:0(0) <...>
  +.1 < S. 0:0(0) ack 1 win 65535 <mss 1000>
   +0 > . 1:1(0) ack 1
  `);
  passes(`
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0...0.1 connect(3, ..., ...) = -1 ECONNREFUSED (refused)
   +0 > S 0:0(0) <...>
  +.1 < R. 0:0(0) ack 1 win 0
  `);
});

Deno.test("packets of the script's other connections are ignored", () => {
  passes(
    SERVER + `
   +0 write(4, ..., 10) = 10
   +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5
   +0 fcntl(5, F_SETFL, O_RDWR|O_NONBLOCK) = 0
   +0 connect(5, ..., ...) = -1 EINPROGRESS (now)
   +0 > S 0:0(0) <...>
  `,
  );
});

Deno.test("counters and the sockets that listen", () => {
  passes(
    SERVER + `
   +0 \`nstat -n\`
   +0 < P. 1:101(100) ack 1 win 512
   +0 > . 1:1(0) ack 101
   +0 \`nstat | grep TcpInSegs | grep -q " 1 "\`
   +0 \`grep " 0A " /proc/net/tcp /proc/net/tcp6 | grep ":1F90"\`
  `,
  );
  fails(SERVER + '+0 `nstat -n`\n+0 `nstat | grep TcpInSegs | grep -q " 1 "`', "TcpInSegs grew by 0, not by 1");
});

Deno.test("mutants of a TCP script fail", () => {
  const source = CLIENT + `
   +0 write(3, ..., 100) = 100
   +0 > P. 1:101(100) ack 1 <nop,nop,TS val 200 ecr 7000>
  +.1 < . 1:1(0) ack 101 win 512 <nop,nop,TS val 7100 ecr 200>
   +0 close(3) = 0
   +0 > F. 101:101(0) ack 1 <nop,nop,TS val 300 ecr 7100>
  `;
  const outcome = mutateScripts([{ file: "tcp.pkt", source }], 1000);
  assertEquals(outcome.survivors, []);
  assertEquals(outcome.mutants > 20, true);
});
