// Stands in for the app: runs in the page before its own scripts. What the page sends is kept in `calls`; a test sets
// states, emits events and says which commands are refused.

(() => {
  const callbacks = new Map();
  const listeners = new Map();
  let nextId = 1;

  const mock = {
    state: window.__INITIAL_STATE__,
    calls: [],
    refusals: {},
    emit(event, payload) {
      for (const handler of listeners.get(event) ?? []) callbacks.get(handler)?.({ event, id: handler, payload });
    },
    /** Changes top-level fields as the app does: with the next revision and an event. */
    change(changes) {
      mock.state = { ...mock.state, ...changes, revision: mock.state.revision + 1 };
      mock.emit("state-changed", { revision: mock.state.revision, changes });
    },
    sent(name) {
      return mock.calls.filter(([command]) => command === name).map(([, args]) => args);
    },
  };

  const commands = {
    "plugin:event|listen": ({ event, handler }) => {
      listeners.set(event, [...(listeners.get(event) ?? []), handler]);
      return handler;
    },
    "plugin:event|unlisten": () => null,
    get_state: () => structuredClone(mock.state),
    frame_socket: () => ({ url: "ws://127.0.0.1:45678/frames", token: `token-${nextId++}` }),
  };

  window.__TAURI_INTERNALS__ = {
    transformCallback(callback, once = false) {
      const id = nextId++;
      callbacks.set(id, (data) => {
        if (once) callbacks.delete(id);
        callback(data);
      });
      return id;
    },
    unregisterCallback: (id) => callbacks.delete(id),
    async invoke(name, args) {
      const command = commands[name];
      if (command) return command(args ?? {});
      mock.calls.push([name, args ?? {}]);
      const code = mock.refusals[name];
      if (code) throw { code, detail: null };
      mock.answer?.(name, args ?? {});
      return null;
    },
  };
  window.__TAURI_EVENT_PLUGIN_INTERNALS__ = { unregisterListener: () => undefined };
  window.mock = mock;
})();
