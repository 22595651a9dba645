/**
 * Runs inside `unshare -nmpf --mount-proc`: netpath's DHCP and DNS against Debian's, over two TAPs. Prints one JSON object.
 *
 *   kernel (udhcpc, dhclient, dig, getent) ── np0 ── netpath: DHCP server and DNS server, 10.7.0.1
 *   kernel (dnsmasq, 10.8.0.1)             ── np1 ── netpath: DHCP client and resolver
 *   kernel (dnsmasq, 10.9.0.1, 10.9.0.55)  ── np2 ── netpath: DHCP client that is offered 10.9.0.55
 */
import { createHost, Machine, realPlatform } from "../../mod.ts";
import { tap } from "../../plugins/device/tap/mod.ts";
import {
  DHCP_CLIENT,
  DHCP_SERVER,
  dhcpClient,
  type DhcpEvent,
  dhcpServer,
  leased,
} from "../../plugins/socket/dhcp/mod.ts";
import {
  DNS_SERVER,
  dnsServer,
  lookup,
  resolveDns,
  RESOLVER,
  resolver,
  reverse,
} from "../../plugins/socket/dns/mod.ts";

const text = new TextDecoder();
const dir = Deno.makeTempDirSync({ prefix: "dhcp_interop" });

/** A command of the kernel's side; stdout and stderr together. Bounded to 30 s. */
async function sh(command: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("timeout", {
    args: ["30", "sh", "-c", command],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { LC_ALL: "C" },
  }).output();
  return text.decode(stdout) + text.decode(stderr);
}

/** Until it holds, for at most `ms`. */
async function until(holds: () => boolean, ms: number): Promise<boolean> {
  for (const end = performance.now() + ms; !holds() && performance.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return holds();
}

const machine = new Machine({ platform: realPlatform(), debug: true });
const seen: Record<string, unknown> = {};
await sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set lo up");

// ---- our servers, their clients

const records = [
  { name: "www", type: "CNAME" as const, data: "web" },
  { name: "_http._tcp", type: "SRV" as const, data: { priority: 1, weight: 2, port: 8080, target: "web" } },
  { name: "web", type: "TXT" as const, data: "hello, dig" },
  { name: "@", type: "MX" as const, data: { preference: 10, exchange: "web" } },
  { name: "six", type: "AAAA" as const, data: "2001:db8::7" },
  { name: "*.wild", type: "A" as const, data: "10.7.0.9" },
  ...Array.from({ length: 40 }, (_, i) => ({ name: "big", type: "TXT" as const, data: `text ${i} ${"x".repeat(60)}` })),
];
const server = createHost({
  machine,
  name: "server",
  plugins: [
    dhcpServer({
      dev: "np0",
      range: ["10.7.0.100", "10.7.0.120"],
      router: "10.7.0.1",
      dns: "10.7.0.1",
      domain: "lab",
      search: ["lab", "deep.lab"],
      routes: [{ to: "default", via: "10.7.0.1" }, { to: "192.0.2.0/24", via: "10.7.0.1" }],
      leaseTime: 600,
      ping: 100,
    }),
    dnsServer({ zones: [{ name: "lab", hosts: { ns: "10.7.0.1", web: "10.7.0.2" }, records }] }),
  ],
});
const np0 = tap(server.net, { name: "np0" });
await sh("ip link set np0 up");
server.addr.add("np0", "10.7.0.1/24");

const script = `${dir}/script`;
Deno.writeTextFileSync(
  script,
  `#!/bin/sh
env | grep -E '^(interface|ip|mask|subnet|router|dns|domain|search|lease|serverid|reason|new_|staticroutes)' | sort > ${dir}/env.\${reason:-$1}
case "\${reason:-$1}" in
  bound|renew) ip addr flush dev np0; ip addr add $ip/$mask dev np0 ;;
  BOUND|REBOOT) ip addr flush dev np0; ip addr add $new_ip_address/24 dev np0 ;;
  deconfig|RELEASE) ip addr flush dev np0 ;;
esac
exit 0
`,
);
Deno.chmodSync(script, 0o755);
const environment = (reason: string): string => {
  try {
    return Deno.readTextFileSync(`${dir}/env.${reason}`);
  } catch {
    return "";
  }
};
const bindings = () => server.net.get(DHCP_SERVER).bindings();

seen.udhcpc = await sh(`udhcpc -f -n -q -t 5 -T 2 -i np0 -x hostname:box -O search -O staticroutes -s ${script}`);
seen.udhcpcEnv = environment("bound");
seen.udhcpcBindings = bindings();
seen.ping = await sh("ping -c 2 -i 0.2 10.7.0.1");
// The same client again, for the same address by name; broadcast.
seen.udhcpcAgain = await sh(`udhcpc -f -n -q -t 5 -T 2 -B -i np0 -r 10.7.0.111 -C -s ${script}`);
seen.againEnv = environment("bound");
await sh("ip addr flush dev np0");
const dhclient = `dhclient -v -sf ${script} -lf ${dir}/leases -pf ${dir}/pid -cf ${dir}/dhclient.conf`;
Deno.writeTextFileSync(
  `${dir}/dhclient.conf`,
  "option rfc3442 code 121 = array of unsigned integer 8;\n" +
    'send host-name "isc"; send dhcp-client-identifier "isc-client";\n' +
    "request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, rfc3442;\n",
);
seen.dhclient = await sh(`${dhclient} -1 np0`);
seen.dhclientEnv = environment("BOUND");
seen.dhclientBindings = bindings();
seen.dhclientRelease = await sh(`${dhclient} -r np0`);
await until(() => !bindings().some((b) => b.hostname === "isc"), 2000);
seen.afterRelease = bindings();
seen.serverStats = server.net.get(DHCP_SERVER).stats;

// ---- dig, getent

await sh("ip addr flush dev np0; ip addr add 10.7.0.2/24 dev np0");
const dig = (args: string): Promise<string> => sh(`dig @10.7.0.1 +tries=1 +time=3 ${args}`);
seen.digA = await dig("www.lab A");
seen.digPtr = await dig("+short -x 10.7.0.2");
seen.digSrv = await dig("_http._tcp.lab SRV");
seen.digTxt = await dig("+short web.lab TXT");
seen.digMx = await dig("+short lab MX");
seen.digAaaa = await dig("+short six.lab AAAA");
seen.digWild = await dig("+short a.b.wild.lab A");
seen.digNx = await dig("nobody.lab A");
seen.digEmpty = await dig("_tcp.lab A");
seen.digNoData = await dig("web.lab AAAA");
seen.digAny = await dig("+notcp web.lab ANY");
seen.digForeign = await dig("example.org A");
seen.digBig = await dig("big.lab TXT");
seen.digBigUdp = await dig("+ignore +bufsize=4096 big.lab TXT");
seen.digTcp = await dig("+tcp +short web.lab A");
seen.digPlain = await dig("+noedns +ignore big.lab TXT");
seen.digVersion = await dig("+edns=1 +noednsnegotiation web.lab A");
seen.digOpcode = await dig("+opcode=4 web.lab A");
seen.digCase = await dig("WeB.LaB A");
seen.digAxfr = await dig("lab AXFR");
Deno.writeTextFileSync(`${dir}/resolv.conf`, "nameserver 10.7.0.1\nsearch lab\noptions timeout:2 attempts:1\n");
Deno.writeTextFileSync(`${dir}/nsswitch.conf`, "hosts: dns\n");
seen.getent = await sh(
  `mount --bind ${dir}/resolv.conf /etc/resolv.conf && mount --bind ${dir}/nsswitch.conf /etc/nsswitch.conf && ` +
    "getent ahostsv4 www; getent hosts 10.7.0.2",
);
seen.dnsStats = server.net.get(DNS_SERVER).stats;

// ---- their servers, our client

const host = createHost({
  machine,
  name: "host",
  plugins: [dhcpClient({ dev: "np1", hostname: "nphost", auto: false, probe: 200 }), resolver({ timeout: 2000 })],
});
const np1 = tap(host.net, { name: "np1" });
await sh("ip link set np1 up; ip addr add 10.8.0.1/24 dev np1");
// The kernel has the only address of the range, and would send to it itself: the answers go to all.
const options = { dev: "np2", broadcast: true, auto: false, probe: 300 };
const rival = createHost({ machine, name: "rival", plugins: [dhcpClient(options)] });
const np2 = tap(rival.net, { name: "np2" });
await sh("ip link set np2 up; ip addr add 10.9.0.1/24 dev np2; ip addr add 10.9.0.55/24 dev np2");
const dnsmasq = new Deno.Command("timeout", {
  args: [
    ..."60 dnsmasq --no-daemon --conf-file=/dev/null --interface=np1 --interface=np2 --bind-interfaces --except-interface=lo"
      .split(" "),
    ..."--no-resolv --no-hosts --user=root --pid-file= --no-ping --dhcp-authoritative --domain=test --log-dhcp".split(
      " ",
    ),
    ..."--dhcp-range=10.8.0.50,10.8.0.60,255.255.255.0,2m --dhcp-option=3,10.8.0.1 --dhcp-option=26,1400".split(" "),
    ..."--dhcp-option=option:domain-search,test,far.test --dhcp-option=option:ntp-server,10.8.0.1".split(" "),
    ..."--host-record=kernel.test,192.0.2.7 --cname=alias.test,kernel.test --local=/test/ --auth-ttl=60".split(" "),
    ...Array.from({ length: 30 }, (_, i) => `--txt-record=big.test,text ${i} ${"y".repeat(80)}`),
    "--dhcp-range=10.9.0.55,10.9.0.55,255.255.255.0,2m",
    `--dhcp-leasefile=${dir}/dnsmasq.leases`,
  ],
  stdin: "null",
  stdout: "piped",
  stderr: "piped",
}).spawn();
const log = dnsmasq.output();
await until(() => {
  try {
    return Deno.readTextFileSync("/proc/net/udp").includes(":0043 ");
  } catch {
    return false;
  }
}, 5000);

const client = host.net.get(DHCP_CLIENT);
const events: string[] = [];
client.onEvent((e: DhcpEvent) => events.push(`${e.kind} ${e.lease?.address ?? ""}`));
rival.link.up("np2");
const rivalClient = rival.net.get(DHCP_CLIENT);
const declined = new Promise((resolve) => rivalClient.onEvent((e) => resolve(`${e.kind} ${e.lease?.address}`)));
rivalClient.start("np2");
seen.declined = await declined;
seen.rivalAddr = rival.addr.list("np2");
rival.link.down("np2");

host.link.up("np1");
client.start("np1");
const lease = await leased(host.net, "np1", { signal: AbortSignal.timeout(15_000) });
seen.lease = lease;
seen.addr = host.addr.list("np1");
seen.route = host.route.list().filter((r) => r.to === "default").map((r) => `${r.via} ${r.dev}`);
seen.resolver = [host.net.get(RESOLVER).servers, host.net.get(RESOLVER).search];
seen.ourPing = (await host.ping("10.8.0.1")).from;
seen.theirPing = await sh(`ping -c 1 -W 2 ${lease.address}`);
seen.lookup = await lookup(host.net, "kernel");
seen.alias = await resolveDns(host.net, "alias.test", "CNAME");
seen.aliasA = await resolveDns(host.net, "alias.test", "A");
seen.ourName = await lookup(host.net, "nphost.test");
seen.reverse = await reverse(host.net, lease.address);
seen.bigTxt = (await resolveDns(host.net, "big.test", "TXT")).length;
seen.missing = await lookup(host.net, "nobody.test").catch((e) => e.code);
seen.resolverStats = host.net.get(RESOLVER).stats;
client.renew("np1");
await until(() => events.some((e) => e.startsWith("renewed")), 5000);
seen.leaseFile = Deno.readTextFileSync(`${dir}/dnsmasq.leases`);
client.release("np1");
await until(() => !Deno.readTextFileSync(`${dir}/dnsmasq.leases`).includes("nphost"), 3000);
seen.leaseFileAfter = Deno.readTextFileSync(`${dir}/dnsmasq.leases`);
seen.addrAfter = [host.addr.list("np1"), host.net.get(RESOLVER).servers];
host.addr.add("np1", "10.8.0.99/24");
seen.inform = await new Promise((resolve) => client.inform("np1", resolve));
seen.events = events;
seen.clientStats = client.stats;
dnsmasq.kill("SIGTERM");
const { stdout, stderr } = await log;
seen.dnsmasq = (text.decode(stdout) + text.decode(stderr)).split("\n").filter((l) =>
  /DHCP[A-Z]+\(|error|failed/.test(l)
);

seen.drops = [server.net.dropTable(), host.net.dropTable()];
seen.plugins = [...server.net.pluginErrors, ...host.net.pluginErrors, ...machine.faults].map((f) => String(f.error));
await np0[Symbol.asyncDispose]();
await np1[Symbol.asyncDispose]();
await np2[Symbol.asyncDispose]();
machine[Symbol.dispose]();
seen.faults = machine.skbs.faults();
Deno.removeSync(dir, { recursive: true });
console.log(JSON.stringify(seen));
Deno.exit(0);
