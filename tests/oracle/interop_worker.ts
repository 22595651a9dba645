/**
 * Runs inside `unshare -n`: a netpath router on a TAP with a host behind it, and the kernel's own programs at the other
 * end of the TAP. Prints one JSON object of what they saw. `interop_worker.ts` takes no arguments.
 *
 *   kernel 10.7.0.1 ── tap ── 10.7.0.2 router 10.8.0.1 ── wire, MTU 1280 ── 10.8.0.2 host
 */
import { createHost, Machine, realPlatform } from "../../mod.ts";
import { nic, wire } from "../../plugins/device/nic/mod.ts";
import { tap } from "../../plugins/device/tap/mod.ts";

const text = new TextDecoder();

/** A command of the kernel's side; stdout and stderr together. Bounded to 30 s. */
async function sh(command: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", `timeout 30 sh -c '${command.replaceAll("'", "'\\''")}'`],
    stdout: "piped",
    stderr: "piped",
    env: { LC_ALL: "C" },
  }).output();
  return text.decode(stdout) + text.decode(stderr);
}

/** CPU seconds that this process has used. */
function cpuSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const machine = new Machine({ platform: realPlatform(), debug: true });
const router = createHost({ machine, name: "router", forwarding: true });
const device = tap(router.net, { name: "np0" });
await sh(
  "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set lo up; ip addr add 10.7.0.1/24 dev np0; ip link set np0 up; " +
    "ip route add 10.8.0.0/24 via 10.7.0.2",
);
router.addr.add("np0", "10.7.0.2/24");
const behind = createHost({ machine, name: "behind" });
const cable = wire(machine);
nic(router.net, "eth1", { wire: cable, mtu: 1280 });
nic(behind.net, "eth0", { wire: cable, mtu: 1280 });
router.addr.add("eth1", "10.8.0.1/24");
behind.addr.add("eth0", "10.8.0.2/24");
behind.route.add("default", { via: "10.8.0.1" });

const seen: Record<string, unknown> = {};
seen.ping = await sh("ping -c 5 -i 0.2 10.7.0.2");
seen.bigPing = await sh("ping -c 3 -i 0.2 -s 8000 10.7.0.2");
const replies = [1, 2, 3].map((seq) => router.ping("10.7.0.1", { seq }));
seen.ourPing = (await Promise.all(replies)).map((r) => [r.seq, r.ttl]);
seen.ourBigPing = (await router.ping("10.7.0.1", { seq: 4, size: 8000 })).bytes;
seen.pingBehind = await sh("ping -c 2 -i 0.2 10.8.0.2");
seen.ttlOne = await sh("ping -c 1 -t 1 10.8.0.2");
seen.traceroute = await sh("traceroute -n -q 1 -w 2 -m 4 10.8.0.2");
seen.tracepath = await sh("tracepath -n -m 4 10.8.0.2");
seen.refused = await sh(
  `python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect((\\"10.7.0.2\\", 9999))
s.send(b\\"x\\")
try:
    print(s.recv(10))
except OSError as e:
    print(type(e).__name__)
"`,
);

// Echo: netpath serves, the kernel's UDP socket asks; then the other way round.
const server = router.listenDatagram({ port: 7 });
const echo = (async () => {
  for await (const [data, from] of server) await server.send(data, from);
})();
const client = Deno.listenDatagram({ transport: "udp", hostname: "10.7.0.1", port: 7007 });
const sizes: number[] = [];
for (const size of [0, 1, 64, 1472, 1473, 9000, 65507]) {
  const sent = new Uint8Array(size).map((_, i) => (i * 31) & 255);
  await client.send(sent, { transport: "udp", hostname: "10.7.0.2", port: 7 });
  const [got] = await client.receive(new Uint8Array(65536));
  if (got.length === size && got.every((byte, i) => byte === sent[i])) sizes.push(size);
}
seen.echo = sizes;
const caller = router.listenDatagram({ port: 0 });
await caller.send(new TextEncoder().encode("to the kernel"), { transport: "udp", hostname: "10.7.0.1", port: 7007 });
const [hello] = await client.receive(new Uint8Array(100));
seen.toKernel = text.decode(hello);
client.close();
caller.close();
server.close();
await echo.catch(() => {});

// Idle: let the ends of what was under way pass, then count CPU time over three seconds.
await new Promise((resolve) => setTimeout(resolve, 1000));
const before = cpuSeconds();
await new Promise((resolve) => setTimeout(resolve, 3000));
seen.idleCpu = (cpuSeconds() - before) / 3;

seen.drops = router.net.dropTable();
await device[Symbol.asyncDispose]();
machine[Symbol.dispose]();
seen.faults = machine.skbs.faults();
console.log(JSON.stringify(seen));
Deno.exit(0);
