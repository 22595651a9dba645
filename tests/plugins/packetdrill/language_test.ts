/** Words of the language beyond those of the suites: what the interpreter makes of them. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { runScript } from "../../../plugins/lab/packetdrill/mod.ts";

const HANDSHAKE = `
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 bind(3, ..., ...) = 0
  +0 listen(3, 1) = 0
 +.1 < S 0:0(0) win 32792 <mss 1000,nop,nop,sackOK>
  +0 > S. 0:0(0) ack 1 <...>
 +.1 < . 1:1(0) ack 1 win 32792
  +0 accept(3, ..., ...) = 4
`;

function run(text: string): [string, string] {
  const r = runScript("t.pkt", text);
  return [r.result, r.error];
}

Deno.test("a socket that was disconnected connects anew, from another port", () => {
  assertEquals(
    run(`${HANDSHAKE}
  +0 connect(4, AF_UNSPEC, ...) = 0
  +0 > R. 1:1(0) ack 1
  +0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
  +0 connect(4, ..., ...) = -1 EINPROGRESS (Operation now in progress)
  +0 > S 0:0(0) <...>
 +.1 < S. 0:0(0) ack 1 win 5000 <mss 1000>
  +0 > . 1:1(0) ack 1
`),
    ["pass", ""],
  );
});

Deno.test("a call that fails is not -99, whatever its errno", () => {
  assertEquals(run("0 socket(..., SOCK_STREAM, IPPROTO_UDP) = -1 EPROTONOSUPPORT (x)\n"), ["pass", ""]);
  const [result, error] = run("0 socket(..., SOCK_STREAM, IPPROTO_UDP) = -99\n");
  assertEquals(result, "fail");
  assertStringIncludes(error, "-1 EPROTONOSUPPORT, not -99");
});

Deno.test("names are defined in the script; one that nothing defines is unsupported", () => {
  const script = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [900], 4) = 0\n" +
    "+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 connect(3, ..., ...) = -1 EINPROGRESS (x)\n" +
    "+0 > S 0:0(0) <mss SIZE,sackOK,TS val 1 ecr 0,nop,wscale 10>\n";
  assertEquals(run(`--define=SIZE=900\n${script}`), ["pass", ""]);
  assertEquals(run(script)[0], "unsupported");
  assertStringIncludes(run(script)[1], "SIZE");
});

Deno.test("packets of other protocols are unsupported, not wrong", () => {
  const [result, error] = run(`${HANDSHAKE}+0 < sctp: INIT[flgs=0]\n`);
  assertEquals([result, error], ["unsupported", "packets of sctp"]);
});

Deno.test("ip route gives the connection its metrics; one that TCP has not is unsupported", () => {
  const route = (words: string) => `\`ip route change 192.0.2.1 via 192.168.0.2 dev tun0 ${words}\`\n`;
  const opened = `${HANDSHAKE}+0 %{ assert tcpi_snd_cwnd == 3, tcpi_snd_cwnd }%\n`;
  assertEquals(run(route("initcwnd 3 mtu lock 900") + opened), ["pass", ""]);
  assertEquals(run(opened)[0], "fail");
  assertStringIncludes(run(route("congctl vegas") + opened)[1], "there is no congestion control vegas");
  assertEquals(run(route("colour blue") + opened)[0], "unsupported");
});

Deno.test("SO_MAX_PACING_RATE spreads what is sent", () => {
  assertEquals(
    run(`${HANDSHAKE}
  +0 write(4, ..., 10000) = 10000
  +0 > P. 1:10001(10000) ack 1
 +.1 < . 1:1(0) ack 10001 win 32792
  +0 setsockopt(4, SOL_SOCKET, SO_MAX_PACING_RATE, [100000], 4) = 0
  +0 getsockopt(4, SOL_SOCKET, SO_MAX_PACING_RATE, [100000], [4]) = 0
  +0 write(4, ..., 4000) = 4000
  +0 > P. 10001:12001(2000) ack 1
+.02 > P. 12001:14001(2000) ack 1
`),
    ["pass", ""],
  );
});
