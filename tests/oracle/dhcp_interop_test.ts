/** Debian's DHCP and DNS programs against netpath's over TAPs, in a namespace of the test's own. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { DhcpBinding, DhcpConfig, DhcpLease } from "../../plugins/socket/dhcp/mod.ts";
import { testNeeding } from "../support/needs.ts";

type Texts =
  | `dig${"A" | "Ptr" | "Srv" | "Txt" | "Mx" | "Aaaa" | "Wild" | "Nx" | "Empty" | "NoData" | "Any" | "Foreign"}`
  | `dig${"Big" | "BigUdp" | "Tcp" | "Plain" | "Version" | "Opcode" | "Case" | "Axfr"}`
  | "udhcpc"
  | "udhcpcEnv"
  | "udhcpcAgain"
  | "againEnv"
  | "dhclient"
  | "dhclientEnv"
  | "ping"
  | "theirPing"
  | "getent"
  | "leaseFile"
  | "leaseFileAfter";

/** What dhcp_interop_worker.ts prints. */
interface Seen extends Record<Texts, string> {
  udhcpcBindings: DhcpBinding[];
  dhclientBindings: DhcpBinding[];
  afterRelease: DhcpBinding[];
  lease: DhcpLease;
  inform: DhcpConfig | null;
  addr: string[];
  route: string[];
  resolver: string[][];
  addrAfter: string[][];
  ourPing: string;
  lookup: string;
  alias: string[];
  aliasA: string[];
  ourName: string;
  reverse: string[];
  bigTxt: number;
  missing: string;
  resolverStats: { tcpQueries: number; malformed: number; mismatched: number };
  declined: string;
  rivalAddr: string[];
  events: string[];
  dnsmasq: string[];
  drops: Record<string, number>[];
  plugins: string[];
  faults: unknown[];
}

async function worker(): Promise<Seen> {
  const script = new URL("./dhcp_interop_worker.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command("timeout", {
    args: [
      "150",
      "unshare",
      "-nmpf",
      "--kill-child",
      "--mount-proc",
      Deno.execPath(),
      "run",
      "--no-check",
      "-A",
      "--unstable-net",
      script,
    ],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  assert(success, text.decode(stderr));
  return JSON.parse(text.decode(stdout).trim().split("\n").at(-1)!) as Seen;
}

const programs = ["unshare", "timeout", "ping", "udhcpc", "dhclient", "dnsmasq", "dig", "getent", "sysctl"];

testNeeding(
  ["root", "tun", ...programs.map((name) => `program:${name}` as const)],
  "udhcpc, dhclient, dig, getent and dnsmasq get on with netpath's DHCP and DNS over TAPs",
  async (t) => {
    const seen = await worker();
    const step = (name: string, fn: () => void): Promise<boolean> => t.step(name, fn);
    await step("udhcpc gets a lease from our server, with all that it asks for", () => {
      assertMatch(seen.udhcpc, /lease of 10\.7\.0\.1[012]\d obtained from 10\.7\.0\.1, lease time 600/);
      const env = Object.fromEntries(seen.udhcpcEnv.trim().split("\n").map((line) => line.split(/=(.*)/)));
      const { ip, dns, domain, mask, router, search, serverid, staticroutes } = env;
      assertEquals([dns, domain, mask, router, search, serverid], [
        "10.7.0.1",
        "lab",
        "24",
        "10.7.0.1",
        "lab deep.lab",
        "10.7.0.1",
      ]);
      assertEquals(staticroutes, "0.0.0.0/0 10.7.0.1 192.0.2.0/24 10.7.0.1");
      assertEquals(seen.udhcpcBindings.map((b) => [b.address, b.hostname, b.state]), [[ip, "box", "bound"]]);
      assertMatch(seen.ping, /2 packets transmitted, 2 received/);
    });
    await step("udhcpc gets the address that it names, answered by broadcast", () => {
      assertStringIncludes(seen.udhcpcAgain, "lease of 10.7.0.111 obtained from 10.7.0.1");
      assertStringIncludes(seen.againEnv, "ip=10.7.0.111");
    });
    await step("dhclient gets a lease from our server and gives it back", () => {
      const [, address] = /bound to (10\.7\.0\.1[012]\d)/.exec(seen.dhclient) ?? ["", "none"];
      for (
        const line of [
          `new_ip_address=${address}`,
          "new_broadcast_address=10.7.0.255",
          "new_dhcp_renewal_time=300",
          "new_dhcp_rebinding_time=525",
          "new_domain_search=lab. deep.lab.",
          "new_rfc3442=0 10 7 0 1 24 192 0 2 10 7 0 1",
          "new_dhcp_client_identifier=isc-client",
        ]
      ) assertStringIncludes(seen.dhclientEnv, `${line}\n`);
      assertEquals(seen.dhclientBindings.find((b) => b.hostname === "isc")?.address, address);
      assertEquals(seen.afterRelease.some((b) => b.address === address), false);
    });
    await step("dig: records of each type, aliases, wildcards, the case of the question", () => {
      assertMatch(
        seen.digA,
        /status: NOERROR[\s\S]*flags: qr aa rd;[\s\S]*www\.lab\.\s+300\s+IN\s+CNAME\s+web\.lab\.\n/,
      );
      assertMatch(seen.digA, /web\.lab\.\s+300\s+IN\s+A\s+10\.7\.0\.2\n/);
      assertMatch(seen.digSrv, /IN\s+SRV\s+1 2 8080 web\.lab\.\n[\s\S]*ADDITIONAL[\s\S]*IN\s+A\s+10\.7\.0\.2\n/);
      assertMatch(seen.digCase, /WeB\.LaB\.\s+300\s+IN\s+A\s+10\.7\.0\.2\n/);
      const short = [seen.digPtr, seen.digTxt, seen.digMx, seen.digAaaa, seen.digWild, seen.digTcp];
      assertEquals(short.map((s) => s.trim()), [
        "web.lab.",
        '"hello, dig"',
        "10 web.lab.",
        "2001:db8::7",
        "10.7.0.9",
        "10.7.0.2",
      ]);
    });
    await step("dig: no such name and no such record, with the SOA record that says for how long", () => {
      assertMatch(
        seen.digNx,
        /status: NXDOMAIN[\s\S]*lab\.\s+300\s+IN\s+SOA\s+ns\.lab\. hostmaster\.lab\. 1 3600 600 86400 300/,
      );
      for (const text of [seen.digEmpty, seen.digNoData]) {
        assertMatch(text, /status: NOERROR[\s\S]*ANSWER: 0, AUTHORITY: 1/);
      }
    });
    await step("dig: what is refused, not known, or too new", () => {
      for (const text of [seen.digAny, seen.digForeign]) assertMatch(text, /status: REFUSED[\s\S]*ANSWER: 0/);
      assertStringIncludes(seen.digAxfr, "Transfer failed");
      assertMatch(seen.digOpcode, /status: NOTIMP/);
      assertMatch(seen.digVersion, /status: BADVERS/);
    });
    await step("dig: what does not fit says TC, and comes over TCP", () => {
      assertStringIncludes(seen.digBig, "Truncated, retrying in TCP mode");
      assertMatch(seen.digBig, /ANSWER: 40/);
      for (const text of [seen.digBigUdp, seen.digPlain]) assertMatch(text, /flags: qr aa tc rd; QUERY: 1, ANSWER: 0/);
      assertEquals(/OPT PSEUDOSECTION/.test(seen.digPlain), false);
    });
    await step("getent finds a short name and the name of an address", () => {
      assertMatch(seen.getent, /10\.7\.0\.2\s+STREAM web\.lab\n/);
      assertMatch(seen.getent, /10\.7\.0\.2\s+web\.lab\n/);
    });
    await step("our client gets a lease from dnsmasq and puts it to use", () => {
      const { address, prefix, server, routers, seconds, renewal, rebinding, search, mtu, ntp } = seen.lease;
      assertEquals([prefix, server, routers, seconds, renewal, rebinding], [
        24,
        "10.8.0.1",
        ["10.8.0.1"],
        120,
        60,
        105,
      ]);
      assertEquals([search, mtu, ntp], [["test", "far.test"], 1400, ["10.8.0.1"]]);
      assertEquals(seen.addr, [`${address}/24`]);
      assertEquals(seen.route, ["10.8.0.1 np1"]);
      assertEquals(seen.resolver, [["10.8.0.1"], ["test", "far.test"]]);
      assertEquals(seen.ourPing, "10.8.0.1");
      assertMatch(seen.theirPing, /1 packets transmitted, 1 received/);
    });
    await step("it renews and releases; dnsmasq agrees", () => {
      const { address } = seen.lease;
      assertMatch(seen.leaseFile, new RegExp(`${address.replaceAll(".", "\\.")} nphost 01:`));
      assertEquals(seen.leaseFileAfter.includes("nphost"), false);
      assertEquals(seen.addrAfter, [[], []]);
      assertEquals(seen.events, [`bound ${address}`, `renewed ${address}`, `released ${address}`]);
      assert(seen.dnsmasq.some((line) => line.includes("DHCPRELEASE")), seen.dnsmasq.join("\n"));
    });
    await step("an address that somebody has is declined; dnsmasq agrees", () => {
      assertEquals([seen.declined, seen.rivalAddr], ["declined 10.9.0.55", []]);
      assert(seen.dnsmasq.some((line) => /DHCPDECLINE\(np2\) 10\.9\.0\.55/.test(line)), seen.dnsmasq.join("\n"));
    });
    await step("INFORM tells what there is to know without a lease", () => {
      assertEquals(seen.inform?.dns, ["10.8.0.1"]);
      assert(seen.dnsmasq.some((line) => line.includes("DHCPINFORM(np1) 10.8.0.99")), seen.dnsmasq.join("\n"));
    });
    await step("our resolver asks dnsmasq: search list, aliases, PTR, what comes over TCP, what there is not", () => {
      assertEquals([seen.lookup, seen.alias, seen.aliasA], ["192.0.2.7", ["kernel.test."], ["192.0.2.7"]]);
      assertEquals([seen.ourName, seen.reverse], [seen.lease.address, ["nphost.test"]]);
      assertEquals([seen.bigTxt, seen.missing], [30, "ENOTFOUND"]);
      const { tcpQueries, malformed, mismatched } = seen.resolverStats;
      assertEquals([tcpQueries, malformed, mismatched], [1, 0, 0]);
    });
    await step("no skb leaked, nothing threw, every drop has its reason", () => {
      assertEquals([seen.faults, seen.plugins], [[], []]);
      for (const drops of seen.drops) assertEquals(drops["NOT_SPECIFIED"], undefined);
    });
  },
);
