import { loadWithStreamXR } from "./load-streamxr.js";

loadWithStreamXR({ preload: true });
