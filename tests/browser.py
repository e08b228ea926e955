"""A real browser without a window, driven over two pipes by its own protocol: no other package."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

# All of one family: others speak another protocol.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = f"no browser on the PATH: none of {', '.join(NAMES)}"
PATIENCE = 60  # seconds for any answer, on a machine that is busy


class Browser:
    """One browser with one page.

    Attributes:
      errors: what the page's console and its scripts complained of.
      requests: addresses that were asked for, but for the page's own file and data in it.
    """

    def __init__(self, path=FOUND):
        self.errors, self.requests, self._number, self._bytes = [], [], 0, b""
        self._folder = tempfile.mkdtemp(prefix="jaxvae-browser-")
        ours, theirs = os.pipe(), os.pipe()
        # Above 4, so that neither is in the way of what becomes 3 or 4.
        read, write = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (ours[0], theirs[1]))
        self._write = fcntl.fcntl(ours[1], fcntl.F_DUPFD_CLOEXEC, 10)
        self._read = fcntl.fcntl(theirs[0], fcntl.F_DUPFD_CLOEXEC, 10)
        for fd in (*ours, *theirs):
            os.close(fd)
        quiet = os.open(os.devnull, os.O_RDWR)
        arguments = [
            path,
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",  # which root may not have, and a container often has not
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            f"--user-data-dir={self._folder}",
            "about:blank",
        ]
        dup = os.POSIX_SPAWN_DUP2
        streams = [(dup, quiet, 0), (dup, quiet, 1), (dup, quiet, 2)]
        self._process = os.posix_spawn(
            path,
            arguments,
            {**os.environ, "HOME": self._folder},
            file_actions=[*streams, (dup, read, 3), (dup, write, 4)],
            setpgroup=0,
        )
        for fd in (read, write, quiet):
            os.close(fd)
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        """Call a method of the protocol and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self._write, text) :]
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def open(self, path):
        """Open a file and wait until its page is ready, as `explorer.ready` says."""
        self.errors.clear()
        self.requests.clear()
        self.own = Path(path).resolve().as_uri()
        self.send("Page.navigate", url=self.own)
        self.wait("window.explorer && document.readyState === 'complete'")
        self.value("window.explorer.ready.then(() => true)")
        self.settle()

    def value(self, expression):
        """What an expression in the page is, as JSON; of a promise what it resolves to."""
        made = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in made, (expression, made["exceptionDetails"])
        return made["result"].get("value")

    def wait(self, expression):
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def settle(self):
        """Wait until the page has drawn all that it is to draw."""
        done = "!explorer.pending && explorer.panels.every(({ turns }) => turns.left === 0)"
        idle = f"!window.explorer || ({done})"
        frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.value(frame)
        self.wait(idle)

    def size(self, width, height, *, touch=False, dark=False):
        """Give the page a screen."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.settle()

    def middle(self, selector):
        """The middle of an element, in the window's pixels; it is scrolled into view."""
        return self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({ block: 'center' }); const b = e.getBoundingClientRect();"
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )

    def mouse(self, kind, x, y, *, buttons=0):
        button = "left" if buttons or kind == "mouseReleased" else "none"
        self.send(
            "Input.dispatchMouseEvent",
            **{"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1},
        )

    def click(self, selector):
        x, y = self.middle(selector)
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, buttons=1)
        self.mouse("mouseReleased", x, y)
        self.settle()

    def drag(self, start, end, steps=5):
        """Drag with the mouse from one place to another."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, buttons=1)
        for k in range(1, steps + 1):
            x, y = (a + (b - a) * k / steps for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, buttons=1)
        self.mouse("mouseReleased", *end)
        self.settle()

    def touch_drag(self, start, end, steps=5):
        """Drag with a finger."""
        points = [
            {"x": a + (b - a) * k / steps, "y": c + (d - c) * k / steps}
            for (a, c), (b, d) in [(start, end)]
            for k in range(steps + 1)
        ]
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=points[:1])
        for point in points[1:]:
            self.send("Input.dispatchTouchEvent", type="touchMove", touchPoints=[point])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def press(self, key):
        """Press a key, as "ArrowLeft"."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)
        self.settle()

    def screenshot(self, path, *, whole=False):
        """Write a PNG of what is seen, or of the whole page."""
        options = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            options = {"clip": clip, "captureBeyondViewport": True}
        made = self.send("Page.captureScreenshot", format="png", **options)
        Path(path).write_bytes(base64.b64decode(made["data"]))

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        for fd in (self._read, self._write):
            os.close(fd)
        for _ in range(20):  # its children end a moment later, and write until then
            shutil.rmtree(self._folder, ignore_errors=True)
            if not os.path.exists(self._folder):
                break
            time.sleep(0.1)

    def _next(self):
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._bytes:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, f"the browser said nothing for {PATIENCE} seconds"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser ended"
            self._bytes += chunk
        text, _, self._bytes = self._bytes.partition(b"\0")
        return json.loads(text)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("data:", "about:")) and url != getattr(self, "own", None):
                self.requests.append(url)
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(str(params["entry"]))
