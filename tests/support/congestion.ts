/** TCP_CONGESTION, a string. */
import { assertEquals } from "@std/assert";
import type { Host } from "../../mod.ts";
import { SOL_TCP, TCP_CONGESTION } from "../../plugins/transport/tcp/contract.ts";
import { tcpSk, type TcpSock } from "../../plugins/transport/tcp/tcp_sock.ts";

/** Chooses the congestion control of a socket; TCP's part of it. */
export function useCongestion(host: Host, fd: number, name: string): TcpSock {
  const sk = host.sys.sock(fd)!;
  assertEquals(sk.ops.setsockoptString!(sk, SOL_TCP, TCP_CONGESTION, name), 0);
  return tcpSk(sk);
}
