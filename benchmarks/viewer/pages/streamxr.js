import { loadWithStreamXR } from "./load-streamxr.js";

loadWithStreamXR({ preload: false });
