// For cli_proc_kernel_test.ts: runs in a network namespace of its own, sets it up with ip, opens sockets on the loopback, and
// prints what the commands of iproute2 say as JSON.
const run = async (...command: string[]): Promise<string> => {
  const { success, stdout, stderr } = await new Deno.Command(command[0], { args: command.slice(1) }).output();
  if (!success) throw new Error(`${command.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
};

const { setup, show } = JSON.parse(Deno.args[0]) as { setup: string[]; show: string[] };
for (const file of ["all", "default"]) {
  await Deno.writeTextFile(`/proc/sys/net/ipv6/conf/${file}/disable_ipv6`, "1").catch(() => {});
}
for (const command of setup) await run(...command.split(" "));
const listener = Deno.listen({ hostname: "127.0.0.1", port: 8080, tcpBacklog: 7 });
const [client, server] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port: 8080 }), listener.accept()]);
await client.write(new Uint8Array(3));
const udp = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 5353 });
const out: Record<string, string> = {};
for (const command of show) out[command] = await run(...command.split(" "));
console.log(JSON.stringify(out));
for (const end of [client, server, listener, udp]) end.close();
