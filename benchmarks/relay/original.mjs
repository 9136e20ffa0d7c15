// A server of the original's design: JSON, parsed and sent at once to all others in the room.
// Prints its port.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const rooms = new Map();
let nextId = 1;
const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const name = new URL(request.url, "http://localhost").pathname;
  if (!rooms.has(name)) rooms.set(name, new Map());
  const room = rooms.get(name);
  const user = { id: `user-${nextId++}`, socket, position: null, rotation: null, quaternion: null };
  room.set(user.id, user);
  socket.send(JSON.stringify({ type: "welcome", userId: user.id, users: [...room.keys()] }));
  socket.on("message", (data) => {
    const message = JSON.parse(data.toString());
    if (message.type !== "position-update") return;
    Object.assign(user, {
      position: message.position,
      rotation: message.rotation,
      quaternion: message.quaternion,
    });
    const text = JSON.stringify({
      type: "user-position",
      userId: user.id,
      position: user.position,
      rotation: user.rotation,
      quaternion: user.quaternion,
      timestamp: message.timestamp,
    });
    for (const other of room.values()) {
      if (other !== user && other.socket.readyState === 1) other.socket.send(text);
    }
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    room.delete(user.id);
    if (room.size === 0) rooms.delete(name);
  });
});

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
