/** Broken lab files: all that is wrong is said at once, exactly so, and nothing is half-started. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { main } from "../../../cli.ts";
import { LabFileError, loadLab } from "../../../plugins/lab/mod.ts";

const HEAD = "hosts:\n  a:\n  b:\n";
const NIC = (line: string): string =>
  `hosts:\n  a:\n    nics:\n      eth0: { ${line} }\n  b:\nlinks:\n  - [a:eth0, b:eth0]\n`;

/** A file, and all that is said of it. */
const BROKEN: readonly (readonly [what: string, text: string, says: readonly string[]])[] = [
  ["no YAML", "hosts: [a", [
    "lab.yaml:2: not YAML: Cannot read flow collection: unexpected end of the stream within a flow collection",
  ]],
  ["a key twice", "hosts:\n  a:\n  a:\n", ["lab.yaml:3: not YAML: Cannot store mapping pair: duplicated key"]],
  ["empty", "", ["lab.yaml:1: expected a mapping with hosts, links and so on"]],
  ["a list", "- a\n- b\n", ["lab.yaml:1: expected a mapping with hosts, links and so on"]],
  ["no hosts", "links: []\n", ["lab.yaml:1: hosts: missing: expected a mapping"]],
  ["hosts is a list", "hosts: [a, b]\n", ["lab.yaml:1: hosts: expected a mapping, not a list of 2"]],
  ["no host in it", "hosts: {}\n", ["lab.yaml:1: hosts: expected at least one host"]],
  ["unknown key", "host:\n  a:\n", [
    "lab.yaml:1: hosts: missing: expected a mapping",
    'lab.yaml:1: host: unknown key; did you mean "hosts"?',
  ]],
  ["unknown key of a host", "hosts:\n  a:\n    fowarding: true\n", [
    'lab.yaml:3: hosts.a.fowarding: unknown key; did you mean "forwarding"?',
  ]],
  ["a host's name", "hosts:\n  1a:\n", [
    "lab.yaml:2: hosts.1a: expected a name: a letter, then letters, digits, . _ -, at most 15",
  ]],
  ["forwarding is text", "hosts:\n  a:\n    forwarding: maybe\n", [
    'lab.yaml:3: hosts.a.forwarding: expected true or false, not "maybe"',
  ]],
  ["unknown key of a NIC", NIC("mtuu: 1500"), ['lab.yaml:4: hosts.a.nics.eth0.mtuu: unknown key; did you mean "mtu"?']],
  ["MTU too small", NIC("mtu: 60"), ["lab.yaml:4: hosts.a.nics.eth0.mtu: expected at least 68, not 60"]],
  ["MTU is text", NIC("mtu: big"), ['lab.yaml:4: hosts.a.nics.eth0.mtu: expected a number, not "big"']],
  ["an address without prefix", NIC("addresses: [10.0.0.1]"), [
    'lab.yaml:4: hosts.a.nics.eth0.addresses[0]: expected an address with prefix length like 10.0.0.1/24, not "10.0.0.1"',
  ]],
  ["an address that is none", NIC("addresses: [10.0.0.256/24]"), [
    'lab.yaml:4: hosts.a.nics.eth0.addresses[0]: expected an address with prefix length like 10.0.0.1/24, not "10.0.0.256/24"',
  ]],
  ["addresses is text", NIC("addresses: 10.0.0.1/24"), [
    'lab.yaml:4: hosts.a.nics.eth0.addresses: expected a list, not "10.0.0.1/24"',
  ]],
  ["a MAC that is none", NIC('macaddress: "02:00:00"'), [
    'lab.yaml:4: hosts.a.nics.eth0.macaddress: expected an address like 02:00:00:00:00:01, not "02:00:00"',
  ]],
  ["a group's MAC", NIC('macaddress: "03:00:00:00:00:01"'), [
    "lab.yaml:4: hosts.a.nics.eth0.macaddress: a group's address is no NIC's",
  ]],
  ["a ring of 100", NIC("ring: { rx: 100 }"), [
    "lab.yaml:4: hosts.a.nics.eth0.ring.rx: expected a power of two from 8 to 65536, not 100",
  ]],
  ["a driver that is none", NIC("driver: nicc"), [
    'lab.yaml:4: hosts.a.nics.eth0.driver: expected nic or veth, not "nicc"; did you mean "nic"?',
  ]],
  ["a qdisc that is none", NIC("qdisc: { kind: fq_codl }"), [
    'lab.yaml:4: hosts.a.nics.eth0.qdisc.kind: no queue discipline "fq_codl"; did you mean "fq_codel"?',
  ]],
  ["a qdisc's option", NIC("qdisc: { kind: pfifo, limt: 5 }"), [
    'lab.yaml:4: hosts.a.nics.eth0.qdisc: Cannot set qdisc of eth0: pfifo refuses {"limt":5}',
  ]],
  ["netem's delay", NIC("qdisc: { kind: netem, delay: soon }"), [
    'lab.yaml:4: hosts.a.nics.eth0.qdisc: Cannot use netem\'s delay "soon": expected one like 10ms, 200us or 1s',
  ]],
  [
    "an address twice",
    "hosts:\n  a: { nics: { eth0: { addresses: [10.0.0.1/24] } } }\n  b: { nics: { eth0: { addresses: [10.0.0.1/24] } } }\nlinks: [[a:eth0, b:eth0]]\n",
    ["lab.yaml:3: hosts.b.nics.eth0.addresses[0]: a:eth0 has the address 10.0.0.1 already"],
  ],
  ["a NIC without a cable", "hosts:\n  a:\n    nics:\n      eth0: { addresses: [10.0.0.1/24] }\n", [
    "lab.yaml:4: hosts.a.nics.eth0: no link is plugged into a:eth0",
  ]],
  ["a link to nobody", `${HEAD}links:\n  - [a, c]\n`, [
    'lab.yaml:5: links[0][1]: there is no host "c"; there are a, b',
  ]],
  ["a link with one end", `${HEAD}links:\n  - [a]\n`, [
    "lab.yaml:5: links[0]: expected two ends like [a, b], not a list of 1",
  ]],
  ["a link to itself", `${HEAD}links:\n  - [a:eth0, a:eth0]\n`, [
    "lab.yaml:5: links[0][1]: a:eth0 is plugged into links[0] already",
    "lab.yaml:5: links[0]: expected two different ends",
  ]],
  ["two cables in a NIC", `${HEAD}links:\n  - [a:eth0, b:eth0]\n  - [a:eth0, b:eth1]\n`, [
    "lab.yaml:6: links[1][0]: a:eth0 is plugged into links[0] already",
  ]],
  ["a NIC that the host has not", NIC("mtu: 1500").replace("a:eth0", "a:eth1"), [
    'lab.yaml:7: links[0][0]: a has no NIC "eth1"; did you mean "eth0"?',
  ]],
  ["a link's delay without unit", `${HEAD}links:\n  - endpoints: [a, b]\n    delay: 10\n`, [
    'lab.yaml:6: links[0].delay: expected a time like "10ms", not 10',
  ]],
  ["a link's loss over 100 %", `${HEAD}links:\n  - endpoints: [a, b]\n    loss: 101%\n`, [
    'lab.yaml:6: links[0].loss: expected at most 100%, not "101%"',
  ]],
  ["jitter over delay", `${HEAD}links:\n  - endpoints: [a, b]\n    delay: 1ms\n    jitter: 2ms\n`, [
    "lab.yaml:5: links[0]: Cannot make a wire with jitterNs 2000000: it is more than delayNs",
  ]],
  ["endpoints misspelt", `${HEAD}links:\n  - endpoint: [a, b]\n`, [
    "lab.yaml:5: links[0].endpoints: missing: expected a list",
    'lab.yaml:5: links[0].endpoint: unknown key; did you mean "endpoints"?',
  ]],
  ["a rate", `${HEAD}links:\n  - endpoints: [a, b]\n    rate: fast\n`, [
    'lab.yaml:6: links[0].rate: expected a rate like "20mbit", not "fast"',
  ]],
  ["a switch to nobody", `${HEAD}switches:\n  sw:\n    ports: [a, d]\n`, [
    'lab.yaml:6: switches.sw.ports[1]: there is no host "d"; there are a, b',
  ]],
  ["a switch named as a host", `${HEAD}switches:\n  a:\n    ports: [b]\n`, [
    "lab.yaml:5: switches.a: a host has this name already",
  ]],
  ["a sysctl", "hosts:\n  a:\n    sysctls:\n      net.ipv4.ip_forwad: 1\n", [
    "lab.yaml:4: hosts.a.sysctls.net.ipv4.ip_forwad: Unknown sysctl net.ipv4.ip_forwad: did you mean net.ipv4.ip_forward?",
  ]],
  ["a sysctl's value", "hosts:\n  a:\n    sysctls:\n      net.ipv4.ip_default_ttl: 300\n", [
    "lab.yaml:4: hosts.a.sysctls.net.ipv4.ip_default_ttl: Cannot set net.ipv4.ip_default_ttl to 300: it takes a number from 1 to 255",
  ]],
  [
    "a route's gateway",
    NIC("addresses: [10.0.0.1/24]").replace("  b:\n", "    routes:\n      - { to: default, via: 10.9.9.9 }\n  b:\n"),
    ["lab.yaml:6: hosts.a.routes[0]: Cannot add route default: network is unreachable (no address of a device that is up is on the gateway's link)"],
  ],
  ["a route's prefix", "hosts:\n  a:\n    routes:\n      - { to: everywhere }\n", [
    'lab.yaml:4: hosts.a.routes[0].to: expected default, or a prefix like 10.1.0.0/16, not "everywhere"',
  ]],
  ["a plugin", "hosts:\n  a:\n    plugins: [vlna]\n", [
    'lab.yaml:3: hosts.a.plugins[0]: no plugin "vlna"; expected one of vlan, bridge, filter, ./FILE.ts, jsr: or npm:; did you mean "vlan"?',
  ]],
  ["a plugin that is there", "hosts:\n  a:\n    plugins: [udp]\n", [
    'lab.yaml:3: hosts.a.plugins[0]: "udp" is in every host already',
  ]],
  ["a plugin's file", "hosts:\n  a:\n    plugins: [./nowhere.ts]\n", [
    "lab.yaml:3: hosts.a.plugins[0]: cannot load ./nowhere.ts: Module not found",
  ]],
  ["an application's file", "hosts:\n  a:\n    apps:\n      - app: ./nowhere.ts\n", [
    "lab.yaml:4: hosts.a.apps[0].app: cannot load ./nowhere.ts: Module not found",
  ]],
  ["a capture", `${HEAD}links: [[a:eth0, b:eth0]]\ncaptures:\n  - { on: c:eth0, file: c.pcap }\n`, [
    'lab.yaml:6: captures[0].on: there is no host "c"; there are a, b',
  ]],
  ["an expectation", `${HEAD}links: [[a, b]]\nexpect:\n  - pign: { from: a, to: b }\n`, [
    'lab.yaml:6: expect[0].pign: unknown key; did you mean "ping"?',
  ]],
  ["a ping without aim", `${HEAD}links: [[a, b]]\nexpect:\n  - ping: { from: a }\n`, [
    "lab.yaml:6: expect[0].ping.to: missing: expected text",
  ]],
  ["a ping from nobody", `${HEAD}links: [[a, b]]\nexpect:\n  - ping: { from: aa, to: b }\n`, [
    'lab.yaml:6: expect[0].ping.from: there is no host "aa"; there are a, b',
  ]],
  ["a drop reason", `${HEAD}expect:\n  - dropped: { on: a, reason: NETFILTER_DRP }\n`, [
    'lab.yaml:5: expect[0].dropped.reason: no drop reason "NETFILTER_DRP"; did you mean "NETFILTER_DROP"?',
  ]],
  ["a seed", `seed: 1.5\n${HEAD}`, ["lab.yaml:1: seed: expected a whole number, not 1.5"]],
  ["several at once", "seed: no\nhosts:\n  a:\n    forwarding: 1\nlinks:\n  - [a]\n", [
    'lab.yaml:1: seed: expected a number, not "no"',
    "lab.yaml:4: hosts.a.forwarding: expected true or false, not 1",
    "lab.yaml:6: links[0]: expected two ends like [a, b], not a list of 1",
  ]],
];

for (const [what, text, says] of BROKEN) {
  Deno.test(`lab: a broken file is said to be so, all at once, with line, path and what was expected: ${what}`, async () => {
    const error = await assertRejects(() => loadLab("lab.yaml", text, new URL(import.meta.url)), LabFileError);
    assertEquals(error.message.split("\n"), says);
  });
}

Deno.test("lab: there are at least 40 broken files in the table", () => {
  assert(BROKEN.length >= 40, `${BROKEN.length}`);
});

/** Runs a command line on a file of its own folder; what is left in the folder after it. */
async function cli(command: string, text: string): Promise<{ code: number; out: string; err: string; left: string[] }> {
  const folder = await Deno.makeTempDir({ prefix: "netpath-lab-" });
  try {
    const file = `${folder}/lab.yaml`;
    await Deno.writeTextFile(file, text);
    await Deno.writeTextFile(`${folder}/flag.ts`, FLAG);
    const out: string[] = [];
    const err: string[] = [];
    const io = { log: (t: string) => out.push(t), error: (t: string) => err.push(t), color: false, width: 140 };
    const code = await main([command, file], io);
    const left = [...Deno.readDirSync(folder)].map((e) => e.name).sort();
    const plain = (lines: string[]): string => lines.join("\n").replaceAll(file, "lab.yaml");
    return { code, out: plain(out), err: plain(err), left };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** An application that says that it ran. */
const FLAG = `export default () => { globalThis.labFlag = (globalThis.labFlag ?? 0) + 1; };`;

Deno.test("lab: run, check, trace and proc say of a broken file exactly that, and print no stack trace", async () => {
  for (const [what, text, says] of BROKEN) {
    for (const command of ["run", "check", "trace", "proc"]) {
      const { code, out, err, left } = await cli(command, text);
      assertEquals([code, out, err], [2, "", says.join("\n")], `${command}: ${what}`);
      assertEquals(left, ["flag.ts", "lab.yaml"], `${command}: ${what}`);
    }
  }
});

Deno.test("lab: nothing of a broken file is started: no application runs, no capture is written, however late it breaks", async () => {
  const flags = globalThis as { labFlag?: number };
  const lab = (rest: string): string => `
hosts:
  a: { apps: [./flag.ts], ${rest} }
  b:
links: [[a, b]]
captures: [{ on: a:eth0, file: a.pcap }]
`;
  // By its form, by a file that is not there, and when it is built.
  for (const rest of ["forwarding: 3", "plugins: [./nowhere.ts]", "routes: [{ to: default, via: 10.9.9.9 }]"]) {
    const { code, left } = await cli("run", lab(rest));
    assertEquals([code, left, flags.labFlag], [2, ["flag.ts", "lab.yaml"], undefined], rest);
  }
  const { code, left } = await cli("run", lab("forwarding: true"));
  assertEquals([code, left, flags.labFlag], [0, ["a.pcap", "flag.ts", "lab.yaml"], 1]);
  delete flags.labFlag;
});
