/**
 * Routing against the kernel: random addresses, routes and devices going up and down, the same in a network namespace and
 * in a net; then the tables and some hundred `ip route get` must be equal.
 */
import { assertEquals } from "@std/assert";
import { ARPHRD_LOOPBACK, ERRNO, IFF_LOOPBACK, Machine, type Net, type NetDevice } from "../../core/mod.ts";
import { DEVINET, devinet } from "../../plugins/network/devinet/mod.ts";
import { type Dst, FIB, fib, type Route } from "../../plugins/network/fib/mod.ts";
import { ipToString, needIp } from "../../plugins/network/inet/contract.ts";
import { testNeeding } from "../support/needs.ts";
import { amount } from "./full.ts";
import { Random } from "../support/frames/random.ts";

/** One step: what the kernel is told, and the same for netpath, which answers 0 or a negative errno. */
interface Op {
  shell: string;
  run(host: Host): number;
}

/** One question and netpath's answer, in the words of {@linkcode kernelAnswer}. */
interface Question {
  shell: string;
  ask(host: Host): string;
}

interface Host {
  net: Net;
  dev(name: string): NetDevice;
}

const DEVICES = ["d0", "d1", "d2"];

// ---- netpath

function makeHost(machine: Machine): Host {
  const net = machine.createNet({ plugins: [devinet(), fib()] });
  const ops = {
    open: () => 0,
    stop: () => {},
    startXmit: () => 0,
    selectQueue: () => 0,
    changeMtu: () => 0,
  };
  net.registerNetdevice("lo", { ops, flags: IFF_LOOPBACK, type: ARPHRD_LOOPBACK, mtu: 65536, maxMtu: 65536 }).open();
  for (const name of DEVICES) net.registerNetdevice(name, { ops });
  return { net, dev: (name) => net.device(name)! };
}

function routeOp(verb: "add" | "del", r: Route): Op {
  const words = ["ip route", verb, r.type ?? "", r.to];
  if (r.via) words.push("via", r.via);
  if (r.dev) words.push("dev", r.dev);
  if (r.src) words.push("src", r.src);
  if (r.metric !== undefined) words.push("metric", `${r.metric}`);
  if (r.scope) words.push("scope", r.scope);
  if (r.table) words.push("table", `${r.table}`);
  if (r.onlink) words.push("onlink");
  return {
    shell: words.filter((w) => w !== "").join(" "),
    run: ({ net }) => verb === "add" ? net.get(FIB).add(r) : net.get(FIB).del(r),
  };
}

function addressOp(verb: "add" | "del", dev: string, cidr: string, more: { peer?: string; broadcast?: string }): Op {
  const extra = [
    ...(more.peer ? ["peer", more.peer] : []),
    ...(more.broadcast && verb === "add" ? ["brd", more.broadcast] : []),
  ];
  const shown = more.peer ? cidr.split("/")[0] : cidr;
  return {
    shell: ["ip addr", verb, shown, ...extra, "dev", dev].join(" "),
    run(host) {
      const table = host.net.get(DEVINET);
      return verb === "add"
        ? table.addAddress(host.dev(dev), cidr, more)
        : table.delAddress(host.dev(dev), more.peer ? shown : cidr, more.peer);
    },
  };
}

function linkOp(dev: string, up: boolean): Op {
  return {
    shell: `ip link set ${dev} ${up ? "up" : "down"}`,
    run(host) {
      if (up) host.dev(dev).open();
      else host.dev(dev).close();
      return 0;
    },
  };
}

function sysctlOp(name: string, value: number): Op {
  return {
    shell: `sysctl -qw ${name}=${value}`,
    run: ({ net }) => (net.sysctl.set(name, value), 0),
  };
}

// ---- the questions

/**
 * A way in words. The kernel keeps one cached way per next hop, of the type of the first packet, and shows that type for
 * all: unicast, multicast and local count as one here, and a device that is "lo" says that it is local.
 */
function showWay(type: string, dev: string, via: string, src: string, flags: string[]): string {
  const shown = type === "multicast" || type === "local" ? "unicast" : type;
  return [shown, dev, via && `via ${via}`, src && `src ${src}`, ...flags].filter((w) => w !== "").join(" ");
}

const TYPE_NAMES = ["", "unicast", "local", "broadcast", "", "multicast"];

function errorText(errno: number): string {
  const names: Record<number, string> = {
    [ERRNO.EINVAL]: "Invalid argument",
    [ERRNO.ENETUNREACH]: "Network is unreachable",
    [ERRNO.EHOSTUNREACH]: "No route to host",
    [ERRNO.EACCES]: "Permission denied",
    [ERRNO.EEXIST]: "File exists",
    [ERRNO.ENODEV]: "No such device",
    [ERRNO.ESRCH]: "No such process",
    [ERRNO.ENETDOWN]: "Network is down",
    [ERRNO.EADDRNOTAVAIL]: "Cannot assign requested address",
  };
  return names[-errno] ?? `errno ${errno}`;
}

function outputQuestion(daddr: string, saddr: string, oif: string): Question {
  return {
    shell: `ip -j route get ${daddr}${saddr && ` from ${saddr}`}${oif && ` oif ${oif}`}`,
    ask(host) {
      const table = host.net.get(FIB);
      const port = oif === "" ? 0 : host.dev(oif).ifindex;
      const dst = table.routeOutput(needIp(daddr, "to"), saddr === "" ? 0 : needIp(saddr, "from"), port, 0);
      if (dst === null) return errorText(table.errno);
      return showWay(
        TYPE_NAMES[dst.type],
        dst.dev.name,
        dst.gateway === 0 ? "" : ipToString(dst.gateway),
        saddr === "" && dst.prefsrc !== 0 ? ipToString(dst.prefsrc) : "",
        [],
      );
    },
  };
}

function inputQuestion(daddr: string, saddr: string, iif: string): Question {
  return {
    shell: `ip -j route get ${daddr} from ${saddr} iif ${iif}`,
    ask: (host) => inputAnswer(host, daddr, saddr, iif),
  };
}

function inputAnswer(host: Host, daddr: string, saddr: string, iif: string): string {
  const skb = host.net.machine.skbs.alloc(64)!;
  skb.protocol = 0x0800;
  const reason = host.net.get(FIB).routeInput(skb, needIp(daddr, "to"), needIp(saddr, "from"), 0, host.dev(iif));
  const dst = skb.dst as Dst | null;
  skb.consume();
  const name = host.net.machine.reasons.get(reason).name;
  if (name === "IP_INADDRERRORS") return errorText(-ERRNO.EHOSTUNREACH);
  if (name === "IP_INNOROUTES") return errorText(-ERRNO.ENETUNREACH);
  if (reason !== 0 || dst === null) return errorText(-ERRNO.EINVAL);
  if (dst.type === 6) return errorText(-ERRNO.EINVAL);
  if (dst.type === 7) return errorText(-ERRNO.EHOSTUNREACH);
  if (dst.type === 8) return errorText(-ERRNO.EACCES);
  const via = dst.gateway === 0 ? "" : ipToString(dst.gateway);
  // The kernel names the loopback as the device of what is for all or for a group.
  const dev = dst.type === 3 || dst.type === 5 ? "lo" : dst.dev.name;
  return showWay(TYPE_NAMES[dst.type], dev, via, "", dst.doRedirect ? ["redirect"] : []);
}

interface KernelWay {
  type?: string;
  gateway?: string;
  dev?: string;
  prefsrc?: string;
  flags?: string[];
}

function kernelAnswer(text: string): string {
  const error = /answers: (.*)/.exec(text);
  if (error !== null) return error[1];
  const [way] = JSON.parse(text) as KernelWay[];
  const flags = text.includes('"redirect"') ? ["redirect"] : [];
  return showWay(way.type ?? "unicast", way.dev ?? "", way.gateway ?? "", way.prefsrc ?? "", flags);
}

interface KernelRoute extends KernelWay {
  dst: string;
  table?: string;
  protocol?: string;
  scope?: string;
  metric?: number;
}

const TABLES: Record<string, number> = { local: 255, main: 254, default: 253 };

/** A route in one line, the same for both sides. */
function line(r: Route): string {
  const words = [r.type ?? "unicast", r.to, `table ${r.table ?? 254}`];
  for (const key of ["via", "dev", "protocol", "scope", "src", "metric"] as const) {
    if (r[key] !== undefined) words.push(`${key} ${r[key]}`);
  }
  return words.join(" ");
}

function kernelRoute(r: KernelRoute): string {
  const route: Record<string, unknown> = { to: r.dst, type: r.type, via: r.gateway, dev: r.dev, src: r.prefsrc };
  route.table = TABLES[r.table ?? "main"];
  if (r.protocol !== "boot") route.protocol = r.protocol;
  route.scope = r.scope;
  route.metric = r.metric;
  return line(Object.fromEntries(Object.entries(route).filter(([, v]) => v !== undefined)) as unknown as Route);
}

// ---- random scenarios

function scenario(random: Random): { ops: Op[]; questions: Question[] } {
  const pick = <T>(list: readonly T[]): T => random.pick(list);
  const own = ["10.9.0.1", "10.9.0.11", "10.9.1.1", "10.10.0.1", "192.168.7.1", "172.16.0.1", "10.9.0.129"];
  const hosts = ["10.9.0.7", "10.9.0.200", "10.9.1.9", "10.10.0.9", "192.168.7.2", "172.16.0.254", "8.8.8.8"];
  const prefixes = ["10.1.0.0/16", "10.1.2.0/24", "10.9.0.0/25", "10.0.0.0/8", "default", "224.0.0.0/4", "10.1.2.3"];
  const device = (): string => pick(DEVICES);
  const addresses: [string, string, { peer?: string; broadcast?: string }][] = [];
  const routes: Route[] = [];
  const anyRoute = (): Route => {
    const r: Route = { to: pick(prefixes) };
    const kind = random.int(10);
    if (kind < 2) return { ...r, type: pick(["blackhole", "unreachable", "prohibit", "throw"] as const) };
    if (kind < 3) return { ...r, type: "local", dev: pick(["lo", ...DEVICES]) };
    if (kind < 8) r.via = pick([...hosts, ...own]);
    if (kind >= 7 || random.int(3) === 0) r.dev = device();
    if (r.via && r.dev && random.int(4) === 0) r.onlink = true;
    if (random.int(5) === 0) r.src = pick(own);
    if (random.int(3) === 0) r.metric = 1 + random.int(3);
    if (random.int(12) === 0) r.table = 253;
    return r;
  };
  const anyOp = (): Op => {
    const kind = random.int(20);
    if (kind < 5) {
      const more = random.int(4) === 0 ? { peer: pick(hosts) } : random.int(2) === 0 ? { broadcast: "+" } : {};
      const a: [string, string, { peer?: string; broadcast?: string }] = [
        device(),
        `${pick(own)}/${pick([8, 16, 24, 24, 25, 31, 32])}`,
        more,
      ];
      addresses.push(a);
      return addressOp("add", ...a);
    }
    if (kind < 7 && addresses.length > 0) return addressOp("del", ...pick(addresses));
    if (kind < 10 && routes.length > 0) {
      const r = pick(routes);
      return routeOp("del", random.int(2) === 0 ? r : { to: r.to, ...(r.table ? { table: r.table } : {}) });
    }
    if (kind < 12) return linkOp(device(), random.int(3) !== 0);
    if (kind < 13) return sysctlOp(`net.ipv4.conf.${device()}.promote_secondaries`, random.int(2));
    const r = anyRoute();
    routes.push(r);
    return routeOp("add", r);
  };
  const setup = DEVICES.map((d) => linkOp(d, true));
  const ops = [...setup, ...Array.from({ length: 40 }, anyOp)];
  ops.push(sysctlOp("net.ipv4.ip_forward", random.int(4) === 0 ? 0 : 1));
  for (const d of DEVICES) {
    ops.push(sysctlOp(`net.ipv4.conf.${d}.rp_filter`, random.int(3)));
    ops.push(sysctlOp(`net.ipv4.conf.${d}.send_redirects`, random.int(2)));
    ops.push(sysctlOp(`net.ipv4.conf.${d}.accept_local`, random.int(5) === 0 ? 1 : 0));
  }
  ops.push(sysctlOp("net.ipv4.conf.all.send_redirects", 0));
  const odd = [
    "255.255.255.255",
    "224.0.0.1",
    "224.0.0.9",
    "239.1.2.3",
    "127.0.0.1",
    "127.1.2.3",
    "10.9.0.255",
    "0.1.2.3",
  ];
  const anywhere = (): string => {
    const kind = random.int(8);
    if (kind === 0) return pick(odd);
    if (kind === 1) return pick(own);
    if (kind < 4) return pick(hosts);
    if (kind === 4) return ipToString(random.u32() | 0);
    return `10.${pick([1, 9, 10])}.${random.int(3)}.${random.int(256)}`;
  };
  const questions = Array.from({ length: 80 }, (_, i) => {
    if (i % 2 === 0) {
      return outputQuestion(
        anywhere(),
        random.int(4) === 0 ? pick(own) : "",
        random.int(4) === 0 ? pick(["lo", ...DEVICES]) : "",
      );
    }
    return inputQuestion(anywhere(), anywhere(), device());
  });
  return { ops, questions };
}

/** Runs the lines in a namespace of their own; what each printed. */
async function kernel(lines: readonly string[]): Promise<string[]> {
  const head = [
    "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
    "ip link set lo up",
  ];
  for (const d of DEVICES) head.push(`ip link add ${d} type veth peer name p${d}`, `ip link set p${d} up`);
  const script = [...head, ...lines.flatMap((l, i) => [`echo "@@${i}"`, l]), "true"].join("\n");
  const { success, stdout } = await new Deno.Command("unshare", {
    args: ["-n", "sh", "-c", `exec 2>&1\n${script}`],
  }).output();
  if (!success) throw new Error("Cannot run the script in a namespace");
  return new TextDecoder().decode(stdout).split(/^@@\d+\n/m).slice(1);
}

async function compare(seed: number): Promise<void> {
  const { ops, questions } = scenario(new Random(seed));
  const answers = await kernel([
    ...ops.map((op) => op.shell),
    "ip -j -4 route show table all",
    ...questions.map((q) => q.shell),
  ]);
  using machine = new Machine({ debug: true, strict: true });
  const host = makeHost(machine);
  const wrong: string[] = [];
  ops.forEach((op, i) => {
    const mine = op.run(host);
    const text = answers[i].trim();
    const theirs = /answers: (.*)/.exec(text)?.[1] ?? (text === "" ? "" : "refused");
    const same = theirs === "refused" ? mine !== 0 : (mine === 0 ? "" : errorText(mine)) === theirs;
    if (!same) wrong.push(`${op.shell}: kernel "${text}", netpath "${mine === 0 ? "" : errorText(mine)}"`);
  });
  const tables = [255, 254, 253].flatMap((id) => host.net.get(FIB).list(id).map(line)).sort();
  const theirs = (JSON.parse(answers[ops.length]) as KernelRoute[]).map(kernelRoute).sort();
  const history = ops.map((op) => op.shell).join("\n");
  assertEquals(wrong, [], `seed ${seed}\n${history}`);
  assertEquals(tables, theirs, `seed ${seed}\n${history}`);
  questions.forEach((q, i) => {
    const want = kernelAnswer(answers[ops.length + 1 + i].trim());
    const got = q.ask(host);
    if (want !== got) wrong.push(`${q.shell}: kernel "${want}", netpath "${got}"`);
    // Again, from the cache.
    assertEquals(q.ask(host), got);
  });
  assertEquals(wrong, [], `seed ${seed}\n${history}\n${theirs.join("\n")}`);
  assertEquals(machine.skbs.faults(), []);
}

testNeeding(["root", "program:unshare", "program:ip"], "[R17] [T8] routes and ways are the kernel's", async () => {
  const first = Number(Deno.env.get("NETPATH_ROUTE_SEED") ?? 1);
  const rounds = Number(Deno.env.get("NETPATH_ROUTE_ROUNDS") ?? amount(8, 3));
  for (let seed = first; seed < first + rounds; seed++) await compare(seed);
});
