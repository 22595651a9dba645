// deno run --allow-ffi examples/tap_ping.ts
//
// On a real device: answers the kernel's own ping and UDP echo (port 7) at 10.9.0.1, until Ctrl-C. Linux.
//
//     sudo ip tuntap add dev tap0 mode tap user $(id -un)
//     sudo ip addr add 10.9.0.254/24 dev tap0 && sudo ip link set tap0 up
//     ping 10.9.0.1
import { createHost, Machine, realPlatform } from "@netpath/stack";
import { DeviceError, tap, type TapDevice } from "@netpath/stack/tap";

const name = Deno.args[0] ?? "tap0";
const address = Deno.args[1] ?? "10.9.0.1/24";

using machine = new Machine({ platform: realPlatform() });
const host = createHost({ machine, name: "netpath" });

function open(): TapDevice {
  try {
    return tap(host.net, { name });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    // One line that says what is missing, and what to run.
    console.error(error.message);
    Deno.exit(1);
  }
}

await using device = open();
host.addr.add(device.dev.name, address);
const echo = host.listenDatagram({ port: 7 });
Deno.addSignalListener("SIGINT", () => echo.close());
console.log(`${device.kernelName} is up: ${address.split("/")[0]} answers ping, and UDP at port 7; Ctrl-C ends it`);

for await (const [data, from] of echo) await echo.send(data, from);

const { rxPackets, txPackets } = device.dev.stats;
console.log(`received ${rxPackets} frames, sent ${txPackets}`);
