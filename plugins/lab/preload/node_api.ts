/**
 * `node:net`, `node:http` and `node:https` over a net.
 *
 * Programs come by them in three ways: as properties of the module's object (`require("net")`, `import net from`), which are
 * replaced there; by name (`import { connect } from "node:net"`), which a hook of the module loader turns to `net.ts`; and
 * inside of Node's own code (an agent makes a connection), where the methods of the classes are replaced.
 */
import process from "node:process";
import type * as RealHttp from "node:http";
import type * as RealHttps from "node:https";
import type * as RealNet from "node:net";
import type { Net } from "../../../core/mod.ts";
import {
  type ConnectOptions,
  httpOver,
  HttpsAgent,
  type Lookup,
  Server,
  type ServerOptions,
  Socket,
  type SocketOptions,
} from "../../socket/node/mod.ts";
import { addressOf, inIpv4, type InstallOptions, type Swaps } from "./contract.ts";
import { setCurrent } from "./current.ts";

type AnyClass = new (...args: never[]) => object;
type Any = Record<string, unknown>;

// Not by import: the hook would turn it to the shim.
const builtin = (process as unknown as { getBuiltinModule(id: string): unknown }).getBuiltinModule;
const OWN = new URL("./net.ts", import.meta.url).href;

/** Puts them in place. */
export function swapNode(net: Net, swaps: Swaps, options: InstallOptions): void {
  const real = builtin("node:net") as typeof RealNet;
  const lookup = lookupOf(options);
  const ours = netModule(net, { ...real }, lookup);
  for (const [name, value] of Object.entries(ours)) swaps.put(real, name, value);
  setCurrent({ ...real });
  hookImports(swaps);
  swapHttp(net, swaps, lookup);
}

/** Named imports: the loader gives `net.ts` for `node:net`. Without such hooks only the module's object is ours. */
function hookImports(swaps: Swaps): void {
  const { registerHooks } = builtin("node:module") as {
    registerHooks?: (hooks: object) => { deregister?(): void } | undefined;
  };
  const hooks = registerHooks?.({
    resolve(specifier: string, context: object, next: (specifier: string, context: object) => unknown): unknown {
      if (specifier !== "node:net" && specifier !== "net") return next(specifier, context);
      return { url: OWN, format: "module", shortCircuit: true };
    },
  });
  swaps.onEnd(() => hooks?.deregister?.());
}

function lookupOf({ resolve }: InstallOptions): Lookup {
  return (hostname, _options, callback) => {
    addressOf(hostname, resolve).then((address) => {
      if (/^[\d.]+$/.test(address)) return callback(null, address, 4);
      const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: "ENOTFOUND" });
      callback(error, "");
    }, (error) => callback(error, ""));
  };
}

/** `instanceof`, also where a class has its own answer to that. */
function isOf(Class: AnyClass, value: unknown): boolean {
  return Object.prototype.isPrototypeOf.call(Class.prototype, value as object);
}

/** `net.Socket(...)` without `new` is allowed in Node. */
function callable<T extends AnyClass>(Class: T): T {
  return new Proxy(Class, { apply: (target, _this, args) => new target(...args as never[]) });
}

/**
 * Node's own code calls methods of the classes that are in the module for objects that are not made by them
 * (`net.Server.prototype.close` for an HTTP server): those get Node's.
 */
function lend(Shim: AnyClass, Ours: AnyClass, Real: unknown): void {
  const theirs = (Real as AnyClass).prototype as Any;
  for (const name of Object.getOwnPropertyNames(theirs)) {
    const own = Object.getOwnPropertyDescriptor(Shim.prototype, name);
    const ours = (own ?? Object.getOwnPropertyDescriptor(Ours.prototype, name))?.value;
    if (name === "constructor" || typeof ours !== "function") continue;
    Object.defineProperty(Shim.prototype, name, {
      value(this: object, ...args: unknown[]): unknown {
        return Reflect.apply(isOf(Ours, this) ? ours : theirs[name] as typeof ours, this, args);
      },
      writable: true,
      configurable: true,
    });
  }
}

/** The part of `node:net` that is ours; `real` for what is not. */
function netModule(net: Net, real: typeof RealNet, lookup: Lookup): Any {
  class ShimSocket extends Socket {
    constructor(options?: SocketOptions) {
      super(net, options);
    }
    override connect(...args: unknown[]): this {
      return super.connect(...withLookup(args, lookup) as [ConnectOptions]);
    }
    static override [Symbol.hasInstance](value: unknown): boolean {
      return isOf(Socket, value);
    }
  }
  class ShimServer extends Server {
    constructor(options?: ServerOptions | ((socket: Socket) => void), listener?: (socket: Socket) => void) {
      super(net, typeof options === "function" ? {} : options, typeof options === "function" ? options : listener);
    }
    override listen(...args: unknown[]): this {
      const plain = args.map((a) => typeof a === "string" && Number.isNaN(Number(a)) ? inIpv4(a) : a);
      const [first] = plain;
      const host = (first as ConnectOptions | null)?.host;
      if (typeof host === "string") plain[0] = { ...first as object, host: inIpv4(host) };
      return super.listen(...plain as [number]);
    }
  }
  lend(ShimSocket, Socket, real.Socket);
  lend(ShimServer, Server, real.Server);
  const AnySocket = callable(ShimSocket);
  const connect = (...args: unknown[]): unknown => {
    const [first] = args;
    const path = typeof first === "string"
      ? Number.isNaN(Number(first))
      : (first as { path?: unknown })?.path != null &&
        (first as ConnectOptions).port == null;
    if (path) return (real.connect as (...a: unknown[]) => unknown)(...args);
    const options = typeof first === "object" && first !== null ? first as SocketOptions : {};
    const socket = new ShimSocket(options);
    const { timeout } = options as ConnectOptions;
    if (timeout !== undefined) socket.setTimeout(timeout);
    return socket.connect(...args);
  };
  return {
    Socket: AnySocket,
    Stream: AnySocket,
    Server: callable(ShimServer),
    connect,
    createConnection: connect,
    createServer: (...args: unknown[]) => new ShimServer(...args as [ServerOptions]),
  };
}

/** The same arguments, with a lookup and IPv4's words. */
function withLookup(args: readonly unknown[], lookup: Lookup): unknown[] {
  const [first, second] = args;
  const rest = args.filter((a) => typeof a === "function");
  if (typeof first === "object" && first !== null) {
    const options = first as ConnectOptions;
    return [{ lookup, ...options, host: inIpv4(options.host ?? "localhost") }, ...rest];
  }
  const host = typeof second === "string" ? inIpv4(second) : "localhost";
  return [{ port: first, host, lookup }, ...rest];
}

function swapHttp(net: Net, swaps: Swaps, lookup: Lookup): void {
  const http = builtin("node:http") as typeof RealHttp;
  const https = builtin("node:https") as typeof RealHttps;
  for (const { Server: Class } of [http, https]) {
    swaps.put(Class.prototype, "listen", function (this: RealHttp.Server, ...args: unknown[]) {
      const plain = args.map((a) => typeof a === "string" && Number.isNaN(Number(a)) ? inIpv4(a) : a);
      return httpOver(net, this).listen(...plain as [number]);
    });
  }
  swaps.put(http.Agent.prototype, "createConnection", (options: ConnectOptions) => {
    const to = { ...options, port: options.port || 80, host: options.host ?? "localhost" };
    return new Socket(net, to).connect(...withLookup([to], lookup) as [ConnectOptions]);
  });
  const secure = new HttpsAgent(net);
  swaps.put(https.Agent.prototype, "createConnection", (options: ConnectOptions) => {
    const [to] = withLookup([options], lookup);
    return secure.createConnection(to as RealHttps.RequestOptions);
  });
}
