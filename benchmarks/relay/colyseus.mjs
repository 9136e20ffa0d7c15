// A Colyseus server: one map of bodies, with a patch every 33 ms. Prints its port.
import { Room, Server } from "@colyseus/core";
import { Encoder, schema, t } from "@colyseus/schema";
import { WebSocketTransport } from "@colyseus/ws-transport";

Encoder.BUFFER_SIZE = 1 << 20; // enough for the state of a thousand people

const TYPES = { time: t.uint32() };
for (const part of ["head", "left", "right"]) {
  for (const axis of ["X", "Y", "Z"]) {
    TYPES[part + axis] = t.int16();
  }
  TYPES[`${part}Q`] = t.uint32();
}
const FIELDS = Object.keys(TYPES);
const Body = schema(TYPES, "Body");
const Hall = schema({ bodies: t.map(Body) }, "Hall");

class PoseRoom extends Room {
  maxClients = 5000;
  patchRate = 33;
  state = new Hall();

  onCreate() {
    this.onMessage("pose", (client, pose) => {
      const body = this.state.bodies.get(client.sessionId);
      for (let i = 0; i < FIELDS.length; i++) body[FIELDS[i]] = pose[i];
    });
  }

  onJoin(client) {
    this.state.bodies.set(client.sessionId, new Body());
  }

  onLeave(client) {
    this.state.bodies.delete(client.sessionId);
  }
}

const transport = new WebSocketTransport({ perMessageDeflate: false, pingInterval: 0 });
const server = new Server({ transport, greet: false });
server.define("hall", PoseRoom).filterBy(["hall"]);
await server.listen(0, "127.0.0.1");
console.log(transport.server.address().port);
