/**
 * Zones, and what they say to a question. RFC 1034 section 4.3.2, RFC 2308, RFC 4592 (wildcards), RFC 8020.
 */
import { needIp } from "../../network/inet/header.ts";
import { isInZone, nameKey, parentName, reverseName } from "./header.ts";
import { DNS_RCODE, type DnsRecord, type SoaData } from "./contract.ts";
import type { DnsDataOf, DnsType } from "./message.ts";
import { dnsMessage, dnsTypeName, dnsTypeNumber, encodeMessage } from "./message.ts";

/** A record of a zone as its options have it: names as in a zone file, see {@linkcode ZoneOptions.records}. */
export type ZoneRecord = {
  [T in DnsType]: {
    /** `web`, `@` for the zone itself, `*` for what is not named, `web.lab.` in full. */
    name: string;
    /** The type. */
    type: T;
    /** Seconds. Default: the zone's. */
    ttl?: number;
    /** The data. A TXT may be one text. */
    data: T extends "TXT" ? string | string[] : DnsDataOf[T];
  };
}[DnsType];

/** A zone. */
export interface ZoneOptions {
  /** `lab`, `0.0.10.in-addr.arpa`. */
  name: string;
  /** Seconds that its records may be kept. Default 300. */
  ttl?: number;
  /** What differs from the SOA record that it gets by itself. */
  soa?: Partial<SoaData>;
  /**
   * Addresses by name: an A record and a PTR record of each. The zones of the reverse names come by themselves, one for
   * each /24 that no zone is there for.
   */
  hosts?: Readonly<Record<string, string | readonly string[]>>;
  /**
   * Other records. As in a zone file, a name without a dot at the end is one below the zone; `@` is the zone itself.
   */
  records?: readonly ZoneRecord[];
}

/** Aliases that one answer follows. */
const MAX_ALIASES = 8;
const TYPE_CNAME = 5;

interface Zone {
  readonly name: string;
  readonly ttl: number;
  soa: DnsRecord & { type: "SOA" };
  /** Records by key of the name, then by type. A name that only has names below it has an empty map. */
  readonly nodes: Map<string, Map<number, DnsRecord[]>>;
}

/** What the zones say. */
export interface ZoneAnswer {
  /** DNS_RCODE. */
  rcode: number;
  /** The first name is in one of our zones. */
  authoritative: boolean;
  /** Records. */
  answers: DnsRecord[];
  /** The SOA record where there are no records. */
  authorities: DnsRecord[];
  /** Addresses of the names in the answers. */
  additionals: DnsRecord[];
}

/** The zones of a server. */
export class Zones {
  readonly #zones: Zone[] = [];

  /** All of `options`; what is wrong with one is a TypeError. */
  constructor(options: readonly ZoneOptions[]) {
    for (const o of options) this.#make(o.name, o.ttl ?? 300, o.soa ?? {});
    for (const o of options) this.#fill(o);
  }

  /** Their names, the longest first. */
  get names(): string[] {
    return this.#zones.map((z) => z.name);
  }

  #make(text: string, ttl: number, soa: Partial<SoaData>): Zone {
    const name = nameKey(text);
    if (this.#zones.some((z) => z.name === name)) throw new TypeError(`Cannot make zone ${name} twice`);
    if (!Number.isInteger(ttl) || ttl < 0 || ttl > 0x7fffffff) {
      throw new RangeError(`Cannot make zone ${name}: ttl ${ttl}, it takes a whole number of seconds from 0`);
    }
    const under = name === "." ? "" : `.${name}`;
    const data: SoaData = {
      mname: `ns${under}`,
      rname: `hostmaster${under}`,
      serial: 1,
      refresh: 3600,
      retry: 600,
      expire: 86400,
      minimum: Math.min(ttl, 300),
      ...soa,
    };
    const record: DnsRecord & { type: "SOA" } = { name, type: "SOA", ttl, data };
    const zone: Zone = { name, ttl, soa: record, nodes: new Map([[name, new Map()]]) };
    this.#zones.push(zone);
    this.#zones.sort((a, b) => depth(b.name) - depth(a.name));
    this.add(record);
    return zone;
  }

  #fill(o: ZoneOptions): void {
    const zone = this.#zones.find((z) => z.name === nameKey(o.name))!;
    for (const [name, addresses] of Object.entries(o.hosts ?? {})) {
      for (const address of typeof addresses === "string" ? [addresses] : addresses) {
        const full = absolute(name, zone.name);
        const addr = needIp(address, `address of ${full}`);
        this.add({ name: full, type: "A", ttl: zone.ttl, data: address });
        this.#pointer(addr, full, zone.ttl);
      }
    }
    for (const record of o.records ?? []) this.add(fromZoneFile(record, zone));
    const apex = zone.nodes.get(zone.name)!;
    if (!apex.has(dnsTypeNumber("NS"))) {
      this.add({ name: zone.name, type: "NS", ttl: zone.ttl, data: zone.soa.data.mname });
    }
  }

  #pointer(addr: number, name: string, ttl: number): void {
    const reverse = reverseName(addr);
    if (this.#zoneOf(reverse) === null) {
      const zone = this.#make(parentName(reverse), ttl, {});
      this.add({ name: zone.name, type: "NS", ttl, data: zone.soa.data.mname });
    }
    this.add({ name: reverse, type: "PTR", ttl, data: name });
  }

  #zoneOf(key: string): Zone | null {
    return this.#zones.find((z) => isInZone(key, z.name)) ?? null;
  }

  /** Adds a record, once; its TTL becomes that of the others of its name and type (RFC 2181 section 5.2). */
  add(record: DnsRecord): void {
    const what = `${record.name} ${record.type}`;
    const type = dnsTypeNumber(record.type);
    if (type === 0) throw new TypeError(`Cannot add ${what}: there is no such type`);
    const wire = bytesOf(record);
    const key = nameKey(record.name);
    const zone = this.#zoneOf(key);
    if (zone === null) {
      throw new TypeError(
        `Cannot add ${what}: no zone here has that name; there are ${this.names.join(", ") || "none"}`,
      );
    }
    const node = zone.nodes.get(key) ?? new Map<number, DnsRecord[]>();
    const others = [...node.keys()].filter((t) => t !== type);
    if (type === TYPE_CNAME ? others.length > 0 || (node.get(type)?.length ?? 0) > 0 : node.has(TYPE_CNAME)) {
      if (!(node.get(type) ?? []).some((r) => bytesOf(r) === wire)) {
        throw new TypeError(`Cannot add ${what}: an alias is the only record of its name`);
      }
      return;
    }
    const set = type === 6 ? [] : node.get(type) ?? [];
    if (!set.some((r) => bytesOf({ ...r, ttl: record.ttl } as DnsRecord) === wire)) set.push({ ...record });
    for (const r of set) r.ttl = record.ttl;
    if (record.type === "SOA") zone.soa = { ...record };
    node.set(type, set);
    zone.nodes.set(key, node);
    // What is above it is there, with or without records (RFC 8020).
    for (let up = parentName(key); key !== zone.name && isInZone(up, zone.name); up = parentName(up)) {
      if (!zone.nodes.has(up)) zone.nodes.set(up, new Map());
      if (up === zone.name) break;
    }
  }

  /** Removes the records of a name, of one type or all but the zone's own; how many there were. */
  remove(name: string, type?: DnsRecord["type"]): number {
    const key = nameKey(name);
    const zone = this.#zoneOf(key);
    const node = zone?.nodes.get(key);
    if (zone === null || node === undefined) return 0;
    let n = 0;
    for (const [t, set] of node) {
      if (type === undefined ? key === zone.name && (t === 6 || t === 2) : t !== dnsTypeNumber(type)) continue;
      if (key === zone.name && t === 6) continue;
      n += set.length;
      node.delete(t);
    }
    this.#prune(zone, key);
    return n;
  }

  /** Names without records and without names below them are not there. */
  #prune(zone: Zone, key: string): void {
    for (let up = key; up !== zone.name; up = parentName(up)) {
      if (zone.nodes.get(up)?.size !== 0) return;
      if ([...zone.nodes.keys()].some((other) => other !== up && isInZone(other, up))) return;
      zone.nodes.delete(up);
    }
  }

  /** The answer to a question of class IN. */
  answer(name: string, type: number): ZoneAnswer {
    const out: ZoneAnswer = { rcode: 0, authoritative: false, answers: [], authorities: [], additionals: [] };
    let key = nameKey(name);
    let spelt = name;
    for (let hops = 0;; hops++) {
      const zone = this.#zoneOf(key);
      if (zone === null) {
        if (hops === 0) out.rcode = DNS_RCODE.REFUSED;
        return this.#withAddresses(out);
      }
      out.authoritative ||= hops === 0;
      const node = find(zone, key);
      const alias = type === TYPE_CNAME ? undefined : node?.get(TYPE_CNAME)?.[0];
      if (alias?.type === "CNAME") {
        out.answers.push({ ...alias, name: spelt });
        if (hops === MAX_ALIASES) {
          out.rcode = DNS_RCODE.SERVFAIL;
          out.answers = [];
          return out;
        }
        key = nameKey(spelt = alias.data);
        continue;
      }
      const set = node?.get(type) ?? [];
      if (set.length === 0) {
        // RFC 2308 section 3: kept no longer than the least of the two says.
        out.authorities.push({ ...zone.soa, ttl: Math.min(zone.soa.ttl, zone.soa.data.minimum) });
        if (node === null) out.rcode = DNS_RCODE.NXDOMAIN;
      }
      for (const record of set) out.answers.push({ ...record, name: spelt });
      return this.#withAddresses(out);
    }
  }

  #withAddresses(out: ZoneAnswer): ZoneAnswer {
    const named = new Set<string>();
    for (const r of out.answers) {
      if (r.type === "SRV") named.add(nameKey(r.data.target));
      else if (r.type === "MX") named.add(nameKey(r.data.exchange));
      else if (r.type === "NS") named.add(nameKey(r.data));
    }
    for (const key of named) {
      const node = this.#zoneOf(key)?.nodes.get(key);
      for (const type of [dnsTypeNumber("A"), dnsTypeNumber("AAAA")]) out.additionals.push(...node?.get(type) ?? []);
    }
    return out;
  }
}

/** The node of a name; that of `*` below its nearest ancestor that is there; null: there is no such name. */
function find(zone: Zone, key: string): Map<number, DnsRecord[]> | null {
  const own = zone.nodes.get(key);
  if (own !== undefined) return own;
  let up = key;
  while (up !== zone.name && !zone.nodes.has(up)) up = parentName(up);
  return zone.nodes.get(up === "." ? "*" : `*.${up}`) ?? null;
}

function depth(name: string): number {
  let n = 0;
  for (let up = name; up !== "."; up = parentName(up)) n++;
  return n;
}

/** The wire form: checks the record, and tells two apart. */
function bytesOf(record: DnsRecord): string {
  if (!Number.isInteger(record.ttl) || record.ttl < 0 || record.ttl > 0x7fffffff) {
    throw new RangeError(`Cannot add ${record.name} ${record.type}: ttl ${record.ttl}, it takes whole seconds from 0`);
  }
  return encodeMessage(dnsMessage({ answers: [{ ...record, name: nameKey(record.name) }] })).join();
}

/** A name of a zone file in full. */
function absolute(name: string, zone: string): string {
  if (name === "@") return zone;
  if (name.endsWith(".")) return nameKey(name);
  return zone === "." ? name : `${name}.${zone}`;
}

function fromZoneFile(record: ZoneRecord, zone: Zone): DnsRecord {
  const name = absolute(record.name, zone.name);
  const ttl = record.ttl ?? zone.ttl;
  const at = (target: string): string => absolute(target, zone.name);
  switch (record.type) {
    case "TXT":
      return { name, ttl, type: "TXT", data: typeof record.data === "string" ? [record.data] : record.data };
    case "CNAME":
    case "NS":
    case "PTR":
      return { name, ttl, type: record.type, data: at(record.data) };
    case "MX":
      return { name, ttl, type: "MX", data: { ...record.data, exchange: at(record.data.exchange) } };
    case "SRV":
      return { name, ttl, type: "SRV", data: { ...record.data, target: at(record.data.target) } };
    case "SOA":
      return { name, ttl, type: "SOA", data: record.data };
    case "A":
    case "AAAA":
      return { name, ttl, type: record.type, data: record.data };
    default:
      throw new TypeError(
        `Cannot add ${name}: no type "${String((record as { type: unknown }).type)}"; there are ${typeList()}`,
      );
  }
}

function typeList(): string {
  return Array.from({ length: 34 }, (_, i) => dnsTypeName(i)).filter((t) => !t.startsWith("TYPE")).join(", ");
}
