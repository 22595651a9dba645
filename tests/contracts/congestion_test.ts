import { cubic } from "../../plugins/transport/tcp/mod.ts";
import { congestionSuite } from "./congestion_suite.ts";

congestionSuite({ name: "reno", plugin: null, decrease: [0.5, 0.5] });
congestionSuite({ name: "cubic", plugin: cubic, decrease: [0.7, 0.7] });
