/** `netpath proc`: the layouts to the space, what is asked for, and when it is looked at. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { main } from "../../../cli.ts";
import { createHost, Machine } from "../../../mod.ts";
import { linuxCommand } from "../../../plugins/lab/cli/proc/command.ts";
import { createLab } from "../../../plugins/lab/mod.ts";

const LABS = new URL("../../../examples/labs/", import.meta.url).pathname;

async function cli(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const out: string[] = [];
  const err: string[] = [];
  const io = { log: (t: string) => out.push(t), error: (t: string) => err.push(t), color: false, width: 140 };
  return { code: await main(args, io), out, err };
}

Deno.test("cli proc: ip addr, route and neigh of a router", async () => {
  const addr = await cli("proc", `${LABS}router.yaml`, "router", "ip", "addr", "show", "dev", "eth1");
  assertEquals([addr.code, addr.err], [0, []]);
  assertEquals(addr.out.map((l) => l.replace(/(link\/ether) \S+/, "$1 MAC")), [
    "3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1280 qdisc pfifo_fast state UP group default qlen 1000",
    "    link/ether MAC brd ff:ff:ff:ff:ff:ff",
    "    inet 192.168.2.1/24 scope global eth1",
    "       valid_lft forever preferred_lft forever",
  ]);
  const route = await cli("proc", `${LABS}router.yaml`, "router", "ip", "r");
  assertEquals(route.out, [
    "192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.1 ",
    "192.168.2.0/24 dev eth1 proto kernel scope link src 192.168.2.1 ",
    "unreachable 203.0.113.0/24 ",
  ]);
  const neigh = await cli("proc", `${LABS}router.yaml`, "left", "ip", "neigh");
  assertEquals(neigh.out.length, 1);
  assert(/^192\.168\.1\.1 dev eth0 lladdr ([0-9a-f]{2}:){5}[0-9a-f]{2} [A-Z]+ $/.test(neigh.out[0]), neigh.out[0]);
});

Deno.test("cli proc: a VLAN device names the one below, a port its bridge; counters in columns that grow", async () => {
  const vlan = await cli("proc", `${LABS}vlans.yaml`, "router", "ip", "link", "show", "eth0.10");
  assertEquals(
    vlan.out[0],
    "3: eth0.10@eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default",
  );
  const port = await cli("proc", `${LABS}vlans.yaml`, "sw", "ip", "link", "show", "port0");
  assertStringIncludes(port.out[0], " master br0 state UP ");
  const stats = await cli("proc", `${LABS}long_fat_link.yaml`, "sender", "ip", "-s", "link", "show", "eth0");
  const [, , rxHead, rx, txHead, tx] = stats.out;
  assertEquals([rxHead.trim().split(/ +/), txHead.trim().split(/ +/)], [
    ["RX:", "bytes", "packets", "errors", "dropped", "missed", "mcast"],
    ["TX:", "bytes", "packets", "errors", "dropped", "carrier", "collsns"],
  ]);
  // Numbers end where their heads end.
  for (const [head, line] of [[rxHead, rx], [txHead, tx]]) {
    for (const word of ["bytes", "packets", "errors"]) {
      assert(/\d /.test(line.slice(head.indexOf(word) + word.length - 1)));
    }
  }
  assert(Number(tx.trim().split(/ +/)[0]) > 60e6);
});

Deno.test("cli proc: ss at a time of the lab, in all states, with what TCP knows", async () => {
  const lab = `${LABS}bufferbloat.yaml`;
  const one = await cli("proc", "--at", "2s", lab, "one", "ss", "-t");
  const sink = await cli("proc", "--at", "2s", lab, "server", "ss", "-tuan");
  assertEquals(one.out.length, 2);
  assert(/^State +Recv-Q +Send-Q +Local Address:Port +Peer Address:Port +Process$/.test(one.out[0]), one.out[0]);
  assert(/^ESTAB +0 +[1-9]\d+ +10\.1\.0\.2:\d+ +10\.8\.0\.1:5001 *$/.test(one.out[1]), one.out[1]);
  assertEquals(one.out[0].indexOf("Address:Port") + 7, one.out[1].indexOf(":"));
  assertEquals(sink.out[0].startsWith("Netid State "), true);
  assertEquals(sink.out.slice(1).map((l) => l.trim().split(/ +/)[1]), ["LISTEN", "ESTAB", "ESTAB"]);
  const info = await cli("proc", "--at", "2s", lab, "two", "ss", "-ti");
  assert(
    /^\t cubic wscale:10,10 rto:\d+ rtt:[\d.]+\/[\d.]+ mss:1448 pmtu:1500 .* cwnd:\d+ .*minrtt:20 /.test(info.out[2]),
    info.out[2],
  );
});

Deno.test("cli proc: TIME-WAIT, requests and raw sockets are there, too, where all are asked for", async () => {
  using lab = createLab({ seed: 1 });
  lab.link("a", "b", { delay: "10ms" });
  await lab.run(async () => {
    const [a, b] = [lab.host("a"), lab.host("b")];
    const listener = b.listen({ port: 80 });
    const client = await a.connect({ hostname: "10.0.0.2", port: 80 });
    const server = await listener.accept();
    client.close();
    server.close();
    await lab.sleep(100e6);
    const raw = a.sys.socket(2, 3, 1);
    assert(raw >= 0);
    void a.connect({ hostname: "10.0.0.2", port: 80 }).catch(() => {});
    const ss = (host: typeof a, ...words: string[]): string[] =>
      linuxCommand(host.net, ["ss", ...words]).slice(1).map((l) =>
        l.replace(/:\d{5} /, ":E ").trim().replace(/ +/g, " ")
      );
    // In order of ports, which the host chose.
    assertEquals(ss(a, "-a").toSorted(), [
      "raw UNCONN 0 0 0.0.0.0:icmp 0.0.0.0:*",
      "tcp SYN-SENT 0 1 10.0.0.1:E 10.0.0.2:80",
      "tcp TIME-WAIT 0 0 10.0.0.1:E 10.0.0.2:80",
    ]);
    assertEquals(ss(a, "-t").map((l) => l.split(" ")[0]), ["SYN-SENT"]);
    await lab.sleep(11e6);
    assertEquals(ss(b, "-at").map((l) => l.split(" ")[0]).toSorted(), ["LISTEN", "SYN-RECV", "TIME-WAIT"]);
    await lab.sleep(21e6);
    // It waits to be accepted.
    const waiting = ss(b, "-atn").map((l) => l.split(" ").slice(0, 3).join(" "));
    assertEquals(waiting.toSorted(), ["ESTAB 0 0", "LISTEN 1 511", "TIME-WAIT 0 0"]);
    listener.close();
  });
});

Deno.test("cli proc: without a command all of them, without a host those of all hosts", async () => {
  const all = await cli("proc", `${LABS}two_hosts.yaml`);
  assertEquals(all.code, 0);
  const titles = all.out.filter((l) => l.includes("$ "));
  assertEquals(
    titles,
    ["a", "b"].flatMap((h) =>
      ["ip addr", "ip route", "ip neigh", "ss -tuwan", "ip -s link", "nstat -a"].map((c) => `${h} $ ${c}`)
    ),
  );
  assert(all.out.includes("#kernel"));
  assert(all.out.some((l) => /^TcpOutSegs {22}\d+ +0\.0$/.test(l)));
});

Deno.test("cli proc: nstat pads as nstat does, and has zeros when asked", () => {
  using machine = new Machine();
  const { net } = createHost({ machine });
  assertEquals(linuxCommand(net, ["nstat"]), ["#kernel"]);
  const zeros = linuxCommand(net, ["nstat", "-az"]);
  assertEquals(zeros[1], "IpInReceives                    0                  0.0");
  assert(!zeros.some((l) => l.startsWith("TcpRtoMin") || l.startsWith("TcpCurrEstab")));
});

Deno.test("cli proc: an expectation that does not hold is said, and is exit code 1", async () => {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(
      file,
      "hosts: { a:, b: }\nlinks: [[a, b]]\nexpect: [{ ping: { from: a, to: 10.0.0.77 } }]\n",
    );
    const ran = await cli("proc", file, "a", "ip", "neigh");
    assertEquals([ran.code, ran.out, ran.err], [
      1,
      ["10.0.0.77 dev eth0 INCOMPLETE "],
      ["Expectation does not hold: ping a to 10.0.0.77: 0 of 1 answered"],
    ]);
  } finally {
    await Deno.remove(file);
  }
});
