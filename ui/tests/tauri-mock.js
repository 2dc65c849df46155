// Stands in for the app: runs in the page before the page's own scripts. It records the commands
// that the page sends. A test sets states, emits events and chooses which commands are refused.

(() => {
  const callbacks = new Map();
  const listeners = new Map();
  let nextId = 1;

  const mock = {
    state: window.__INITIAL_STATE__,
    /** Every command that the page sent. */
    commands: [],
    /** The code with which commands of a type are refused. */
    refusals: {},
    emit(event, payload) {
      for (const handler of listeners.get(event) ?? []) {
        callbacks.get(handler)?.({ event, id: handler, payload });
      }
    },
    /** Changes top-level fields as the app does: with the next revision and an event. */
    change(changes) {
      mock.state = { ...mock.state, ...changes, revision: mock.state.revision + 1 };
      mock.emit("state-changed", { revision: mock.state.revision, changes });
    },
    sent(type) {
      return mock.commands.filter((command) => command.type === type);
    },
  };

  const calls = {
    "plugin:event|listen": ({ event, handler }) => {
      listeners.set(event, [...(listeners.get(event) ?? []), handler]);
      return handler;
    },
    "plugin:event|unlisten": () => null,
    get_state: () => structuredClone(mock.state),
    frame_socket: () => ({ url: "ws://127.0.0.1:45678/frames", token: `token-${nextId++}` }),
    run: ({ command }) => {
      mock.commands.push(command);
      const code = mock.refusals[command.type];
      if (code) throw { code, detail: null };
      return null;
    },
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
      const call = calls[name];
      if (!call) throw `Command ${name} not found`;
      return call(args ?? {});
    },
  };
  window.__TAURI_EVENT_PLUGIN_INTERNALS__ = { unregisterListener: () => undefined };
  window.mock = mock;
})();
