// The deployed module: the Worker built from Rust, behind wrappers that answer even when
// WebAssembly cannot.
import Worker, { ChatSession as Inner } from './build/index.js';
import { bounded, boundedObject } from '../../crates/cloudflare/js/bounded.mjs';

export const ChatSession = boundedObject(Inner);
export default bounded(Worker);
