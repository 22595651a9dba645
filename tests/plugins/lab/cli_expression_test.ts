/** Expressions that choose packets: against a table, and against tcpdump on the same frames. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Machine } from "../../../core/mod.ts";
import { writePcap } from "../../../plugins/device/pcap/mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import { ExpressionError, type HostNames, parseExpression } from "../../../plugins/lab/cli/expression.ts";
import { noFacts, readFacts } from "../../../plugins/lab/cli/facts.ts";
import { arp, eth, ETH_P, fragment, icmpEcho, ipv4, tcp, udp, vlan } from "../../support/frames/build.ts";
import { testNeeding } from "../../support/needs.ts";

const HOSTS: HostNames = {
  names: ["web", "db"],
  addresses: (name) =>
    ({ web: [needIp("10.0.0.2", "a")], db: [needIp("10.1.0.3", "a"), needIp("10.2.0.3", "a")] })[name] ?? null,
};

const A = "10.0.0.1", B = "10.0.0.2", C = "10.1.0.3", D = "192.168.7.9";
const between = (src: string, dst: string) => ({ src, dst });
const big = udp({ ...between(A, C), sport: 5000, dport: 53 }, new Uint8Array(3000));

/** One frame of each kind that an expression can tell apart. */
const FRAMES: readonly (readonly [what: string, frame: Uint8Array])[] = [
  ["udp a:1000>b:53", eth({}, ipv4(between(A, B), udp({ sport: 1000, dport: 53 }, [1])))],
  ["udp b:53>a:1000", eth({}, ipv4(between(B, A), udp({ sport: 53, dport: 1000 }, [1])))],
  ["tcp a:4000>b:80", eth({}, ipv4(between(A, B), tcp({ sport: 4000, dport: 80, flags: "S" })))],
  ["tcp b:80>a:4000", eth({}, ipv4(between(B, A), tcp({ sport: 80, dport: 4000, flags: "SA" })))],
  [
    "tcp c:8080>d:443",
    eth({}, ipv4(between(C, D), tcp({ sport: 8080, dport: 443, flags: "A" }, new Uint8Array(1000)))),
  ],
  ["tcp d:22>c:22", eth({}, ipv4(between(D, C), tcp({ sport: 22, dport: 22, flags: "A" })))],
  ["icmp a>b", eth({}, ipv4(between(A, B), icmpEcho({ id: 1, seq: 1 }, new Uint8Array(56))))],
  ["icmp c>a", eth({}, ipv4(between(C, A), icmpEcho({ id: 1, seq: 1, reply: true })))],
  ["arp a?b", eth({ pad: 60 }, arp({ spa: A, tpa: B, sha: "2:0:0:0:0:1" }))],
  ["arp b!a", eth({ pad: 60 }, arp({ spa: B, tpa: A, op: 2, sha: "2:0:0:0:0:2", tha: "2:0:0:0:0:1" }))],
  ["igmp a", eth({}, ipv4({ src: A, dst: "224.0.0.1", proto: 2 }, new Uint8Array(8)))],
  ["ip6", eth({ type: 0x86dd }, new Uint8Array(48).fill(0x60, 0, 1))],
  ["fragment 1", eth({}, fragment(ipv4({ src: A, dst: C, id: 7, proto: 17 }, big), 1500)[0])],
  ["fragment 2", eth({}, fragment(ipv4({ src: A, dst: C, id: 7, proto: 17 }, big), 1500)[1])],
];

/** Names of the frames that an expression means. */
function meant(expression: string, hosts: HostNames = HOSTS, frames = FRAMES): string[] {
  using machine = new Machine();
  const test = parseExpression(expression, hosts);
  const facts = noFacts();
  return frames.filter(([, frame]) => {
    const skb = machine.skbs.alloc(frame.length + 64)!;
    try {
      skb.bytes.set(frame, skb.put(frame.length));
      skb.macHeader = skb.data;
      skb.protocol = (frame[12] << 8) | frame[13];
      skb.pull(14);
      skb.networkHeader = skb.data;
      return readFacts(skb, facts) && test(facts);
    } finally {
      skb.pool.free(skb);
    }
  }).map(([what]) => what);
}

Deno.test("expression: protocols, hosts, nets, ports, lengths, and, or, not, parentheses", () => {
  assertEquals(meant("").length, FRAMES.length);
  assertEquals(meant("icmp"), ["icmp a>b", "icmp c>a"]);
  assertEquals(meant("tcp dst port 80"), ["tcp a:4000>b:80"]);
  assertEquals(meant("src host 10.0.0.2 and udp"), ["udp b:53>a:1000"]);
  assertEquals(meant("port 53 and not src port 53"), ["udp a:1000>b:53", "fragment 1"]);
  assertEquals(meant("net 192.168.0.0/16 or arp"), ["tcp c:8080>d:443", "tcp d:22>c:22", "arp a?b", "arp b!a"]);
  assertEquals(meant("tcp portrange 400-450"), ["tcp c:8080>d:443"]);
  assertEquals(meant("greater 1000"), ["tcp c:8080>d:443", "fragment 1", "fragment 2"]);
  assertEquals(meant("port 80 or 443"), ["tcp a:4000>b:80", "tcp b:80>a:4000", "tcp c:8080>d:443"]);
  assertEquals(meant("!(tcp||udp||icmp||arp)"), ["igmp a", "ip6"]);
});

Deno.test("expression: a host of the lab by its name, with all of its addresses", () => {
  assertEquals(meant("host web"), meant("host 10.0.0.2"));
  assertEquals(meant("web and tcp"), meant("host 10.0.0.2 and tcp"));
  assertEquals(meant("src db"), meant("src host 10.1.0.3 or src host 10.2.0.3"));
  assertEquals(meant("10.0.0.1 or db"), meant("host 10.0.0.1 or 10.1.0.3"));
  assertEquals(meant("host web or db"), meant("host 10.0.0.2 or host 10.1.0.3"));
});

Deno.test("expression: what is behind a VLAN tag is seen", () => {
  const tagged = eth({ type: ETH_P.VLAN }, vlan({ id: 5 }, ipv4(between(A, B), udp({ sport: 1, dport: 9 }))));
  assertEquals(meant("udp dst port 9 and host web", HOSTS, [["tagged", tagged]]), ["tagged"]);
});

const WRONG: readonly (readonly [expression: string, says: string])[] = [
  [
    "tpc",
    'column 1: expected a protocol (tcp, udp, icmp, ip, arp), host, net, port, portrange, src, dst, less, greater, not or (, not "tpc"; did you mean "tcp"?',
  ],
  ["tcp prot 80", 'column 5: expected "and", "or" or the end, not "prot"; did you mean "port"?'],
  [
    "tcp and",
    "column 8: expected a protocol (tcp, udp, icmp, ip, arp), host, net, port, portrange, src, dst, less, greater, not or (, not the end",
  ],
  ["(tcp or udp", 'column 12: expected ")", "and" or "or", not the end'],
  ["host wbe", 'column 6: expected an address or a host\'s name after "host", not "wbe"; did you mean "web"?'],
  ["port 70000", 'column 6: expected a port from 0 to 65535 after "port", not "70000"'],
  ["port htpt", 'column 6: expected a port from 0 to 65535 after "port", not "htpt"; did you mean "http"?'],
  ["portrange 9-1", 'column 11: expected ports like 8000-8080 after "portrange", not "9-1"'],
  ["net 10.0.0.1/24", 'column 5: expected a network: no bits behind its prefix, not "10.0.0.1/24"'],
  ["icmp port 7", 'column 1: expected tcp or udp in front of "port" ("icmp and port ..." asks for both), not "icmp"'],
  ["tcp[13] = 2", 'column 1: expected no bytes by number: only the words of --help, not "tcp[13]"'],
  ["less many", 'column 6: expected a number of bytes after "less", not "many"'],
];

Deno.test("expression: what is wrong is said with its column, what was expected and maybe what was meant", () => {
  for (const [expression, says] of WRONG) {
    const error = assertThrows(() => parseExpression(expression, HOSTS), ExpressionError);
    assertEquals(error.message.split("\n")[0], `Cannot use the expression, ${says}`);
    assertEquals(error.message.split("\n")[2].indexOf("^") - 1, error.column);
  }
});

/** Everything that both understand. */
const SHARED = [
  "ip",
  "arp",
  "ip6",
  "tcp",
  "udp",
  "icmp",
  "ip proto 2",
  "ip proto 17",
  "host 10.0.0.1",
  "src host 10.0.0.1",
  "dst 10.0.0.1",
  "src or dst host 10.1.0.3",
  "src and dst host 10.0.0.1",
  "ip host 10.0.0.2",
  "arp host 10.0.0.2",
  "net 10.0.0.0/24",
  "src net 10.0.0.0/8",
  "net 192.168",
  "net 10.1.0.0 mask 255.255.0.0",
  "port 53",
  "udp port 53",
  "tcp port 53",
  "src port 80",
  "tcp dst port 80",
  "portrange 22-100",
  "tcp src portrange 8000-9000",
  "less 60",
  "greater 100",
  "not tcp",
  "! icmp",
  "tcp or udp",
  "tcp and port 22",
  "tcp or udp and port 53",
  "tcp or (udp and port 53)",
  "not tcp and not udp",
  "not (tcp or udp)",
  "port 80 or 443",
  "host 10.0.0.1 and not port 53",
  "port http or domain",
  "src host 10.0.0.1 && dst host 10.0.0.2 || icmp",
  "src 10.0.0.2 or 10.1.0.3",
];

testNeeding(["program:tcpdump"], "expression: tcpdump chooses the same frames", async () => {
  const file = await Deno.makeTempFile({ suffix: ".pcap" });
  try {
    // The time of a frame is its number.
    const records = FRAMES.map(([, frame], i) => ({
      seconds: i,
      nanoseconds: 0,
      length: frame.length,
      bytes: new Uint8Array(frame),
    }));
    await Deno.writeFile(file, writePcap(records));
    for (const expression of SHARED) {
      const { code, stdout, stderr } = await new Deno.Command("tcpdump", {
        args: ["-r", file, "-n", "-tt", "--time-stamp-precision=nano", "-q", ...expression.split(" ")],
      }).output();
      assertEquals(code, 0, `${expression}: ${new TextDecoder().decode(stderr)}`);
      const seconds = new TextDecoder().decode(stdout).split("\n").flatMap((l) => /^(\d+)\./.exec(l)?.[1] ?? []);
      const theirs = seconds.map((s) => FRAMES[Number(s)][0]);
      const none: HostNames = { names: [], addresses: () => null };
      assertEquals(meant(expression, none), theirs, expression);
    }
    assert(SHARED.length > 30);
  } finally {
    await Deno.remove(file);
  }
});
