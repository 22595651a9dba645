/** The lab files of examples/labs: what each expects holds, twice, with the same captures. */
import { assert, assertEquals } from "@std/assert";
import { jsonSchema } from "../../../plugins/lab/file/mod.ts";
import { type LabResult, loadLab } from "../../../plugins/lab/mod.ts";

const LABS = new URL("../../../examples/labs/", import.meta.url);
const SCHEMA = new URL("../../../lab.schema.json", import.meta.url);

const files = [...Deno.readDirSync(LABS)].map((e) => e.name).filter((name) => name.endsWith(".yaml")).sort();

/** Runs a file; with every NIC captured, so that the comparison has all that went over a wire. */
async function run(file: string): Promise<LabResult> {
  const text = await Deno.readTextFile(new URL(file, LABS));
  using loaded = await loadLab(file, text, LABS);
  const more = [...loaded.lab.hosts.values()].flatMap((host) =>
    host.net.devices.filter((d) => d.name.startsWith("eth") && !d.name.includes("."))
      .map((d) => [`${host.net.name}:${d.name}`, loaded.lab.capture(`${host.net.name}:${d.name}`)] as const)
  );
  const result = await loaded.run();
  return { ...result, captures: new Map([...result.captures, ...more.map(([name, b]) => [name, b.bytes()] as const)]) };
}

Deno.test("labs: there are at least eight, each with expectations", () => {
  assert(files.length >= 8, files.join(" "));
});

for (const file of files) {
  Deno.test(`labs: ${file} holds what it expects, and its second run is the same to the byte`, async () => {
    const first = await run(file);
    assertEquals(first.errors, []);
    assert(first.outcomes.length > 0);
    assertEquals(first.outcomes.filter((o) => !o.ok), []);
    const second = await run(file);
    assertEquals(second.outcomes, first.outcomes);
    assertEquals([...second.captures.keys()], [...first.captures.keys()]);
    for (const [name, bytes] of first.captures) {
      assert(bytes.length > 24, `${name} is empty`);
      assertEquals(await digest(second.captures.get(name)!), await digest(bytes), name);
    }
  });
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

Deno.test("labs: an unmodified node:http server has the date of the lab's clock, and not the host's", async () => {
  const { captures } = await run("bad_network.yaml");
  const text = new TextDecoder().decode(captures.get("bad_network.pcap"));
  const dates = text.match(/Date: [^\r]*/g)!;
  assert(dates.length >= 20);
  for (const date of dates) assert(/^Date: Sat, 01 Jan 2000 00:00:\d\d GMT$/.test(date), date);
});

Deno.test("labs: lab.schema.json is what the form of lab files says", async () => {
  const text = JSON.stringify(jsonSchema(), null, 2) + "\n";
  if (Deno.args.includes("--update")) await Deno.writeTextFile(SCHEMA, text);
  assertEquals(await Deno.readTextFile(SCHEMA), text, "run with `-- --update` when the change is meant");
});
