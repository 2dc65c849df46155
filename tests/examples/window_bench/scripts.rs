//! What the benchmark runs in the page.

/// Collects for `ms` the number in each frame that a canvas shows. The number fills the first
/// row of the code.
pub(crate) const WATCH: &str = "
    const [selector, ms, done] = arguments;
    const canvas = document.querySelector(selector), begun = performance.now(), seen = [];
    const first = Number(canvas.dataset.frames);
    const look = () => {
        const unit = canvas.width / 32;
        const pixels = canvas.getContext('2d').getImageData(0, Math.round(1.5 * unit), Math.ceil(17 * unit), 1).data;
        let number = 0;
        for (let column = 0; column < 16; column++) {
            const at = Math.round((1.5 + column) * unit) * 4;
            number = number * 2 + (pixels[at] > 127 ? 1 : 0);
        }
        if (seen[seen.length - 1] !== number) seen.push(number);
        if (performance.now() - begun < ms) requestAnimationFrame(look);
        else done({ ms: performance.now() - begun, frames: Number(canvas.dataset.frames) - first, seen,
                    ageMsP95: Number(canvas.dataset.ageMsP95), width: canvas.width, height: canvas.height });
    };
    requestAnimationFrame(look);";

/// Only counts drawn frames: reading them back costs more than drawing them.
pub(crate) const COUNT: &str = "
    const [selectors, ms, done] = arguments;
    const canvases = selectors.map((selector) => document.querySelector(selector));
    const frames = () => canvases.map((canvas) => Number(canvas.dataset.frames));
    const begun = performance.now(), first = frames();
    setTimeout(() => {
        const took = performance.now() - begun;
        done(frames().map((count, at) => ({ fps: (count - first[at]) * 1000 / took,
            ageMsP95: Number(canvases[at].dataset.ageMsP95), width: canvases[at].width, height: canvases[at].height })));
    }, ms);";

/// Enlarges the local video to the size of the partner's, 1280x720.
pub(crate) const ENLARGE: &str = "
    const local = document.querySelector('#self-view');
    Object.assign(local.style, { width: '1280px', height: '720px', left: '0', top: '0' });";

/// Waits until the lobby can be used, and returns when the page first drew a screen, in Unix
/// ms.
pub(crate) const USABLE: &str = "
    const done = arguments[0];
    const usable = () => document.querySelector('main[data-screen=lobby] [data-action=find-partner]:enabled');
    const mark = () => performance.getEntriesByName('first-screen')[0];
    const look = () => mark() && usable() ? done(performance.timeOrigin + mark().startTime) : setTimeout(look, 10);
    look();";

/// The same for a lobby that shows that its server does not answer.
pub(crate) const USABLE_ALONE: &str = "
    const done = arguments[0];
    const usable = () => document.querySelector('main[data-screen=lobby] [data-action=settings]:enabled');
    const mark = () => performance.getEntriesByName('first-screen')[0];
    const look = () => mark() && usable() ? done(performance.timeOrigin + mark().startTime) : setTimeout(look, 10);
    look();";

/// Accepts each call in the moment in which it rings. Not by a click: the button takes none for
/// half a second.
pub(crate) const ACCEPT: &str = "
    const { invoke } = window.__TAURI_INTERNALS__;
    let accepted = null;
    new MutationObserver(async () => {
        if (!document.querySelector('.incoming')) return;
        const { incoming } = await invoke('get_state');
        if (!incoming || incoming.id === accepted) return;
        accepted = incoming.id;
        window.acceptedAt = performance.timeOrigin + performance.now();
        await invoke('run', { command: { type: 'acceptCall', id: accepted, video: true } });
    }).observe(document.body, { childList: true, subtree: true });";

/// Clicks the button that joins, and returns how many ms later the partner's first frame is
/// drawn.
pub(crate) const JOIN: &str = "
    const done = arguments[0];
    let begun;
    const look = () => {
        const button = document.querySelector('[data-action=join-opened]:enabled');
        if (!begun && button) {
            begun = performance.now();
            button.click();
        }
        const frames = Number(document.querySelector('#remote')?.dataset.frames ?? 0);
        if (begun && frames > 0) done(performance.now() - begun);
        else setTimeout(look, 2);
    };
    look();";

/// Waits for the partner's first frame, and returns when it is drawn, in Unix ms.
pub(crate) const FIRST_FRAME: &str = "
    const done = arguments[0];
    const look = () => {
        const frames = Number(document.querySelector('#remote')?.dataset.frames ?? 0);
        if (frames > 0) done(performance.timeOrigin + performance.now());
        else setTimeout(look, 2);
    };
    look();";
