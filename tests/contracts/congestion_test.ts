import { bbr, cubic, dctcp } from "../../plugins/transport/tcp/mod.ts";
import { congestionSuite } from "./congestion_suite.ts";

congestionSuite({ name: "reno", plugin: null, decrease: [0.5, 0.5] });
congestionSuite({ name: "cubic", plugin: cubic, decrease: [0.7, 0.7] });
// Before it knows its path it takes every packet for marked: half. What fewer marks do: tests/plugins/tcp/dctcp_test.ts.
congestionSuite({ name: "dctcp", plugin: dctcp, decrease: [0.5, 0.5] });
// It answers to what is delivered, not to losses: tests/plugins/tcp/bbr_test.ts.
congestionSuite({ name: "bbr", plugin: bbr, decrease: null });
