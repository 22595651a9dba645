/**
 * What a program under the shim gets for `import ... from "node:net"`.
 *
 * @module
 */
import type * as RealNet from "node:net";
import { current } from "./current.ts";

const net: typeof RealNet = current();

/** Node's module, with the sockets of the shim. */
export default net;
/** See `node:net`. */
export const BlockList: typeof RealNet.BlockList = net.BlockList;
/** See `node:net`. */
export const Server: typeof RealNet.Server = net.Server;
/** See `node:net`. */
export const Socket: typeof RealNet.Socket = net.Socket;
/** See `node:net`. */
export const SocketAddress: typeof RealNet.SocketAddress = net.SocketAddress;
/** The old name of {@linkcode Socket}. */
export const Stream: typeof RealNet.Socket = net.Socket;
/** See `node:net`. */
export const connect: typeof RealNet.connect = net.connect;
/** See `node:net`. */
export const createConnection: typeof RealNet.createConnection = net.createConnection;
/** See `node:net`. */
export const createServer: typeof RealNet.createServer = net.createServer;
/** See `node:net`. */
export const getDefaultAutoSelectFamily: typeof RealNet.getDefaultAutoSelectFamily = net.getDefaultAutoSelectFamily;
/** See `node:net`. */
export const setDefaultAutoSelectFamily: typeof RealNet.setDefaultAutoSelectFamily = net.setDefaultAutoSelectFamily;
/** See `node:net`. */
export const getDefaultAutoSelectFamilyAttemptTimeout: typeof RealNet.getDefaultAutoSelectFamilyAttemptTimeout =
  net.getDefaultAutoSelectFamilyAttemptTimeout;
/** See `node:net`. */
export const setDefaultAutoSelectFamilyAttemptTimeout: typeof RealNet.setDefaultAutoSelectFamilyAttemptTimeout =
  net.setDefaultAutoSelectFamilyAttemptTimeout;
/** See `node:net`. */
export const isIP: typeof RealNet.isIP = net.isIP;
/** See `node:net`. */
export const isIPv4: typeof RealNet.isIPv4 = net.isIPv4;
/** See `node:net`. */
export const isIPv6: typeof RealNet.isIPv6 = net.isIPv6;
