/**
 * The form of a lab file. Words are those of netplan (NICs, addresses, routes), containerlab (links) and tc netem
 * (what a link does); sysctls have Linux's names. `lab.schema.json` is generated from here.
 */
import { z } from "zod";

const name = z.string().regex(
  /^[A-Za-z][\w.-]{0,14}$/,
  "expected a name: a letter, then letters, digits, . _ -, at most 15",
);
const time = z.string('expected a time like "10ms"').regex(
  /^\d+(\.\d+)?\s*(ns|us|ms|s)$/,
  'expected a time like "10ms"',
);
const rate = z.string('expected a rate like "20mbit"').regex(
  /^\d+(\.\d+)?\s*[kmgt]?(bit|bps)$/,
  'expected a rate like "20mbit"',
);
const size = z.union([
  z.int().min(0),
  z.string().regex(/^\d+(\.\d+)?\s*[kmg]?b?$/, 'expected a size like "32kb"'),
], 'expected a size like "32kb"');
const percent = z.string('expected a share like "0.5%"').regex(/^\d+(\.\d+)?%$/, 'expected a share like "0.5%"')
  .refine((v) => parseFloat(v) <= 100, "expected at most 100%");
const ip = z.ipv4("expected an IPv4 address like 10.0.0.1");
const cidr = z.cidrv4("expected an address with prefix length like 10.0.0.1/24");
const mac = z.string("expected an address like 02:00:00:00:00:01").regex(
  /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i,
  "expected an address like 02:00:00:00:00:01",
);
const endpoint = z.string("expected HOST:NIC like a:eth0").regex(
  /^[\w.-]+(:[\w.-]+)?$/,
  "expected HOST:NIC like a:eth0",
);
const port = z.int().min(1).max(65535);

/** What a link does to frames: tc-netem(8). */
const impairment = {
  delay: time.optional(),
  jitter: time.optional(),
  loss: percent.optional(),
  gemodel: z.array(percent).min(1).max(4).optional(),
  reorder: percent.optional(),
  duplicate: percent.optional(),
  corrupt: percent.optional(),
  rate: rate.optional(),
  limit: z.int().min(1).optional(),
};

const qdisc = z.looseObject({ kind: z.string() });

const vlan = z.strictObject({
  id: z.int().min(1).max(4094),
  addresses: z.array(cidr).optional(),
});

const nic = z.strictObject({
  driver: z.enum(["nic", "veth"]).optional(),
  addresses: z.array(cidr).optional(),
  macaddress: mac.optional(),
  mtu: z.int().min(68).max(65535).optional(),
  ring: z.strictObject({ rx: z.int().optional(), tx: z.int().optional() }).optional(),
  coalesce: z.strictObject({
    "rx-usecs": z.int().min(0).optional(),
    "rx-frames": z.int().min(0).optional(),
    "tx-usecs": z.int().min(0).optional(),
    "tx-frames": z.int().min(0).optional(),
  }).optional(),
  offloads: z.strictObject({
    sg: z.boolean().optional(),
    "tx-checksum": z.boolean().optional(),
    "rx-checksum": z.boolean().optional(),
    gso: z.boolean().optional(),
    gro: z.boolean().optional(),
  }).optional(),
  queues: z.int().min(1).max(64).optional(),
  qdisc: qdisc.optional(),
  vlans: z.record(name, vlan).optional(),
});

/** What of a route can be locked, by iproute2's names. */
const LOCKS = [
  ...["mtu", "advmss", "window", "rtt", "rttvar", "ssthresh", "cwnd", "reordering", "hoplimit"] as const,
  ...["initcwnd", "initrwnd", "quickack", "congctl", "features"] as const,
] as const;

/** Metrics have the names of `ip route`; times are milliseconds. */
const route = z.strictObject({
  to: z.union([z.literal("default"), cidr, ip], "expected default, or a prefix like 10.1.0.0/16"),
  via: ip.optional(),
  dev: z.string().optional(),
  metric: z.int().min(0).optional(),
  type: z.enum(["unicast", "blackhole", "unreachable", "prohibit"]).optional(),
  src: ip.optional(),
  onlink: z.boolean().optional(),
  mtu: z.int().min(68).max(65535).optional(),
  advmss: z.int().min(1).max(65535).optional(),
  window: z.int().min(1).optional(),
  rtt: z.int().min(1).optional(),
  rttvar: z.int().min(1).optional(),
  rto_min: z.int().min(1).optional(),
  ssthresh: z.int().min(1).optional(),
  cwnd: z.int().min(1).optional(),
  reordering: z.int().min(1).optional(),
  hoplimit: z.int().min(1).max(255).optional(),
  initcwnd: z.int().min(1).optional(),
  initrwnd: z.int().min(1).optional(),
  quickack: z.boolean().optional(),
  congctl: z.string().optional(),
  features: z.array(z.enum(["ecn"])).optional(),
  fastopen_no_cookie: z.boolean().optional(),
  lock: z.array(z.enum(LOCKS)).optional(),
});

const plugin = z.union([
  z.string(),
  z.strictObject({ use: z.string(), options: z.record(z.string(), z.unknown()).optional() }),
], "expected a plugin's name, or { use, options }");

const app = z.union([
  z.string(),
  z.strictObject({ app: z.string(), options: z.record(z.string(), z.unknown()).optional(), at: time.optional() }),
], "expected a module like ./web.ts, or { app, options, at }");

const host = z.strictObject({
  nics: z.record(name, nic).optional(),
  routes: z.array(route).optional(),
  sysctls: z.record(
    z.string(),
    z.union([z.number(), z.array(z.number()), z.string()], "expected a number, several, or a word"),
  ).optional(),
  plugins: z.array(plugin).optional(),
  apps: z.array(app).optional(),
  forwarding: z.boolean().optional(),
}).nullable();

const link = z.union([
  z.array(endpoint).length(2, "expected two ends like [a, b]"),
  z.strictObject({
    endpoints: z.array(endpoint).length(2, "expected two ends like [a:eth0, b:eth0]"),
    ...impairment,
    changes: z.array(z.strictObject({
      at: time,
      up: z.boolean().optional(),
      ...impairment,
      limit: z.undefined().optional(),
    })).optional(),
  }),
], "expected two ends like [a, b], or { endpoints, delay, loss, ... }");

const switchPort = z.union([
  endpoint,
  z.strictObject({
    to: endpoint,
    pvid: z.int().min(0).max(4094).optional(),
    tagged: z.array(z.int().min(1).max(4094)).optional(),
    cost: z.int().min(1).max(65535).optional(),
    ...impairment,
    changes: z.array(z.strictObject({ at: time, up: z.boolean() })).optional(),
  }),
], "expected HOST:NIC, or { to, pvid, tagged }");

const sw = z.strictObject({
  ports: z.array(switchPort),
  stp: z.boolean().optional(),
  priority: z.int().min(0).max(65535).optional(),
  "forward-delay": time.optional(),
  "vlan-filtering": z.boolean().optional(),
});

const capture = z.strictObject({ on: endpoint, file: z.string() });

const expectation = z.union([
  z.strictObject({
    ping: z.strictObject({
      from: z.string(),
      to: z.string(),
      count: z.int().min(1).optional(),
      size: z.int().min(0).max(65507).optional(),
      at: time.optional(),
      fails: z.boolean().optional(),
      "at-most-lost": percent.optional(),
      within: time.optional(),
      "at-least": time.optional(),
    }),
  }),
  z.strictObject({
    http: z.strictObject({
      from: z.string(),
      url: z.string().regex(/^http:\/\//, "expected a URL like http://10.0.0.2/"),
      status: z.int().optional(),
      body: z.string().optional(),
      count: z.int().min(1).optional(),
      at: time.optional(),
      within: time.optional(),
    }),
  }),
  z.strictObject({
    throughput: z.strictObject({
      from: z.string(),
      to: z.string(),
      bytes: size.optional(),
      "at-least": rate.optional(),
      "at-most": rate.optional(),
      congestion: z.string().optional(),
      port: port.optional(),
      at: time.optional(),
    }),
  }),
  z.strictObject({
    dropped: z.strictObject({
      on: z.string(),
      reason: z.string(),
      "at-least": z.int().min(0).optional(),
      "at-most": z.int().min(0).optional(),
    }),
  }),
  z.strictObject({
    "no-drops": z.strictObject({ on: z.string().optional(), except: z.array(z.string()).optional() }).nullable(),
  }),
], "expected one of ping, http, throughput, dropped, no-drops");

/** The whole file. */
export const labSchema = z.strictObject({
  name: z.string().optional(),
  description: z.string().optional(),
  seed: z.int().min(0).max(0x7fffffff).optional(),
  cpus: z.int().min(1).max(256).optional(),
  stop: time.optional(),
  hosts: z.record(name, host),
  links: z.array(link).optional(),
  switches: z.record(name, sw).optional(),
  captures: z.array(capture).optional(),
  expect: z.array(expectation).optional(),
});

/** A parsed file. */
export type ParsedLab = z.infer<typeof labSchema>;
/** One host. */
export type ParsedHost = NonNullable<ParsedLab["hosts"][string]>;
/** One NIC. */
export type ParsedNic = NonNullable<ParsedHost["nics"]>[string];
/** One expectation. */
export type ParsedExpect = NonNullable<ParsedLab["expect"]>[number];

/** JSON Schema for editors. */
export function jsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(labSchema, { unrepresentable: "any" }) as Record<string, unknown>;
}
