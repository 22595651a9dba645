/** What `netpath proc` prints, held against iproute2 on the kernel: the same configuration, the same lines. */
import { assert, assertEquals } from "@std/assert";
import { createHost, type Host, Machine } from "../../../mod.ts";
import { nic } from "../../../plugins/device/nic/mod.ts";
import { linuxCommand } from "../../../plugins/lab/cli/proc/command.ts";
import { testNeeding } from "../../support/needs.ts";

const SETUP = [
  "ip link set lo up",
  "ip tuntap add eth0 mode tap",
  "ip link set eth0 address 02:00:00:00:00:0a",
  "ip link set eth0 up",
  "ip tuntap add eth1 mode tap",
  "ip link set eth1 address 02:00:00:00:00:0b mtu 1400 txqueuelen 500",
  "ip addr add 10.0.0.1/24 dev eth0",
  "ip addr add 10.0.0.9/24 dev eth0",
  "ip addr add 10.0.1.9/24 brd 10.0.1.255 dev eth0",
  "ip addr add 10.5.0.1 peer 10.5.0.2/32 dev eth0",
  "ip route add 10.9.0.0/16 via 10.0.0.2 metric 20",
  "ip route add default via 10.0.0.2",
  "ip route add 10.33.0.0/16 via 10.0.0.2 mtu 1300",
  "ip route add unreachable 203.0.113.0/24",
  "ip route add blackhole 203.0.114.0/24",
  "ip neigh replace 10.0.0.5 lladdr 02:00:00:00:00:55 dev eth0",
];
const SHOW = [
  "ip addr",
  "ip addr show eth0",
  "ip link",
  "ip -s link show dev eth0",
  "ip -s link",
  "ip route",
  "ip route show table local",
  "ip neigh",
  "ss -tan",
  "ss -tuan",
  "ss -tn",
  "ss -tln",
  "nstat -az",
];

async function kernel(): Promise<Record<string, string>> {
  const worker = new URL("cli_proc_worker.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      "-n",
      Deno.execPath(),
      "run",
      "-A",
      "--no-check",
      "--no-config",
      "--unstable-net",
      worker,
      JSON.stringify({ setup: SETUP, show: SHOW }),
    ],
    // Deno's look for a new version is a DNS query of its own.
    env: { DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** The same host here. */
async function host(machine: Machine): Promise<Host> {
  const own = createHost({ machine, name: "host" });
  nic(own.net, "eth0", { address: "02:00:00:00:00:0a" });
  nic(own.net, "eth1", { address: "02:00:00:00:00:0b", mtu: 1400, txQueueLen: 500 });
  own.addr.add("eth0", "10.0.0.1/24");
  own.addr.add("eth0", "10.0.0.9/24");
  own.addr.add("eth0", "10.0.1.9/24", { broadcast: "10.0.1.255" });
  own.addr.add("eth0", "10.5.0.1/32", { peer: "10.5.0.2" });
  own.route.add("10.9.0.0/16", { via: "10.0.0.2", metric: 20 });
  own.route.add("default", { via: "10.0.0.2" });
  own.route.add("10.33.0.0/16", { via: "10.0.0.2", mtu: 1300 });
  own.route.add("203.0.113.0/24", { type: "unreachable" });
  own.route.add("203.0.114.0/24", { type: "blackhole" });
  own.neigh.set("eth0", "10.0.0.5", "02:00:00:00:00:55");
  const listener = own.listen({ hostname: "127.0.0.1", port: 8080, tcpBacklog: 7 });
  const [client] = await Promise.all([own.connect({ hostname: "127.0.0.1", port: 8080 }), listener.accept()]);
  await client.write(new Uint8Array(3));
  own.listenDatagram({ hostname: "127.0.0.1", port: 5353 });
  return own;
}

/** The loopback of Linux has a queue length that nothing uses; counters differ: the kernel's loopback saw other packets. */
function comparable(command: string, text: string): string[] {
  const lines = text.replace(/\n$/, "").split("\n");
  if (command.startsWith("ss")) return sockets(lines);
  const plain = lines.map((l) => /^1: lo:/.test(l) ? l.replace(" qlen 1000", "") : l);
  if (!command.includes("-s")) return plain;
  return plain.map((l) => /^ +\d/.test(l) ? l.replace(/\d+/g, (n) => "0".padStart(n.length)) : l);
}

/** Ports that the host chose, and the width of columns, differ: `ss` fits them to a terminal. */
function sockets(lines: readonly string[]): string[] {
  return lines.map((l) =>
    l.replace("PortProcess", "Port Process").replace(/:[3-6]\d{4}\b/g, ":EPHEMERAL").replace(/\s+/g, " ").trim()
  ).sort();
}

testNeeding(
  ["root", "tun", "program:ip", "program:ss", "program:nstat", "program:unshare"],
  "cli proc: ip, ss and nstat print what those of iproute2 print of the same host",
  async () => {
    const theirs = await kernel();
    using machine = new Machine({ seed: 1 });
    const own = await host(machine);
    for (const command of SHOW.filter((c) => c !== "nstat -az")) {
      const ours = linuxCommand(own.net, command.split(" ")).join("\n");
      assertEquals(comparable(command, ours), comparable(command, theirs[command]), command);
    }
    const lines = linuxCommand(own.net, ["nstat", "-az"]);
    const kernelLines = theirs["nstat -az"].trimEnd().split("\n");
    assertEquals(lines[0], kernelLines[0]);
    // All that we count is a counter of Linux, or one of a later kernel; in its order, in its columns.
    const names = kernelLines.map((l) => l.split(" ")[0]);
    const known = lines.slice(1).filter((l) => names.includes(l.split(" ")[0]));
    assert(known.length > 150, `${known.length}`);
    const places = known.map((l) => names.indexOf(l.split(" ")[0]));
    assertEquals(places, places.toSorted((a, b) => a - b));
    for (const line of known) {
      const like = kernelLines[names.indexOf(line.split(" ")[0])];
      assertEquals(
        line.replace(/ \d+(?= +0\.0)/, " N").replace(/ +/g, " "),
        like.replace(/ \d+(?= +0\.0)/, " N").replace(/ +/g, " "),
      );
      assertEquals(line.length, like.length);
    }
  },
);
