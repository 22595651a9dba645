import { assert, assertEquals } from "@std/assert";
import { ERRNO, type ErrnoName } from "../../../core/mod.ts";
import * as deno from "../../../plugins/socket/deno/mod.ts";

Deno.test("errors have Deno's name, Node's code, and std's grammar", () => {
  const rows: [ErrnoName, string, string][] = [
    ["EADDRINUSE", "AddrInUse", "address in use"],
    ["EADDRNOTAVAIL", "AddrNotAvailable", "address not available"],
    ["ECONNREFUSED", "ConnectionRefused", "connection refused"],
    ["ENOTCONN", "NotConnected", "not connected"],
    ["EACCES", "PermissionDenied", "permission denied"],
    ["EPERM", "PermissionDenied", "operation not permitted"],
    ["EBADF", "BadResource", "bad file descriptor"],
    ["EINTR", "Interrupted", "interrupted system call"],
    ["ETIMEDOUT", "TimedOut", "connection timed out"],
    ["ENETUNREACH", "NetworkUnreachable", "network is unreachable"],
    ["EHOSTUNREACH", "Error", "no route to host"],
    ["EMSGSIZE", "Error", "message too long"],
    ["EINVAL", "TypeError", "invalid argument"],
    ["ENOBUFS", "Error", "no buffer space available"],
  ];
  for (const [code, name, text] of rows) {
    const error = deno.socketError(-ERRNO[code], "bind 10.0.0.1:80");
    assertEquals([error.name, error.code, error.errno], [name, code, -ERRNO[code]]);
    assertEquals(error.message, `Cannot bind 10.0.0.1:80: ${text}`);
    assert(error instanceof Error && (error.stack ?? "").includes("errors_test"));
  }
  assert(deno.socketError(ERRNO.EINVAL, "x") instanceof TypeError);
});

Deno.test("in Deno they are Deno's errors too", () => {
  assert(new deno.AddrInUse("x") instanceof Deno.errors.AddrInUse);
  assert(new deno.AddrInUse("x") instanceof deno.AddrInUse);
  assert(new deno.Interrupted("x") instanceof Deno.errors.Interrupted);
  assert(!(new deno.Interrupted("x") instanceof Deno.errors.AddrInUse));
  assert(!(new deno.Interrupted("x") instanceof deno.AddrInUse));
});

Deno.test("the cause can be an ICMP error", () => {
  const icmp = { from: "10.0.0.254", type: 3, code: 1 };
  assertEquals(deno.socketError(-ERRNO.EHOSTUNREACH, "ping", { icmp }).icmp, icmp);
});
