/** `netpath plugins`: slots, order, versions, tables. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { main } from "../../../cli.ts";
import { standardPlugins } from "../../../mod.ts";

const LABS = new URL("../../../examples/labs/", import.meta.url).pathname;

async function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const io = { log: (t: string) => out.push(t), error: (t: string) => err.push(t), color: false, width: 140 };
  const code = await main(["plugins", ...args], io);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

interface Row {
  host: string;
  order?: number;
  plugin?: string;
  version?: string;
  fills?: string[];
  requires?: string[];
  uses?: string[];
  table?: string;
  entries?: string[];
}

async function rows(...args: string[]): Promise<Row[]> {
  const { code, out } = await cli("--json", ...args);
  assertEquals(code, 0);
  return out.split("\n").map((l) => JSON.parse(l));
}

Deno.test("cli plugins: every standard plugin, each after what it needs, with version and slot", async () => {
  const list = (await rows()).filter((r) => r.plugin !== undefined);
  assertEquals(list.map((r) => r.plugin).toSorted(), standardPlugins().map((p) => p.name).toSorted());
  assertEquals(list.map((r) => r.order), list.map((_, i) => i + 1));
  const filled = new Set<string>();
  for (const r of list) {
    for (const need of r.requires!) assert(filled.has(need), `${r.plugin} comes before ${need}`);
    for (const token of r.fills!) filled.add(token);
    assert(/^\d+\.\d+\.\d+$/.test(r.version!), r.plugin);
  }
  assertEquals(list.find((r) => r.plugin === "tcp")!.fills, ["netpath:tcp"]);
});

Deno.test("cli plugins: tables of a host as text: EtherTypes, protocols, hooks, qdiscs, congestion controls", async () => {
  const { code, out, err } = await cli();
  assertEquals([code, err], [0, ""]);
  for (
    const line of [
      "  EtherTypes    0x0800 ip, 0x0806 arp",
      "  protocols     1 icmp, 6 tcp, 17 udp",
      "  qdiscs        pfifo_fast (default), ",
      "  congestion    cubic (default), reno",
    ]
  ) assertStringIncludes(out, line);
  for (const line of out.split("\n")) assert(line.length <= 140, line);
});

Deno.test("cli plugins: of a lab file, with plugins of the user's own and what they registered", async () => {
  const lab = `${LABS}custom_plugin.yaml`;
  const own = await rows(lab, "b");
  const plugin = own.find((r) => r.plugin === "close-port")!;
  assertEquals([plugin.host, plugin.version], ["b", "-"]);
  assertEquals(own.find((r) => r.table === "INPUT")!.entries, ["close-9 (0)"]);
  assertEquals(new Set((await rows(lab)).map((r) => r.host)), new Set(["a", "b"]));
  const sw = await rows(`${LABS}vlans.yaml`, "sw");
  assertEquals(sw.filter((r) => r.plugin !== undefined).map((r) => r.plugin), ["ethernet", "qdisc", "bridge"]);
  const vlan = (await rows(`${LABS}vlans.yaml`, "router")).find((r) => r.plugin === "vlan")!;
  assertEquals(vlan.version, (await rows())[0].version);
});
