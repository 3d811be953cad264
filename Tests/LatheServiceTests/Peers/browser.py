"""Headless Chromium, driven by its own protocol over a pair of pipes: no port, and nothing to install beside it."""
import base64
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time


def leashed():
    """A child ends with us, however we end."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class BrowserError(Exception):
    """The browser refuses, or what was waited for did not come."""


# What a press of a key is to the browser: its code, its number, and the text that it types.
KEYS = {
    'Tab': ('Tab', 9, None), 'Enter': ('Enter', 13, '\r'), 'Space': ('Space', 32, ' '),
    'ArrowDown': ('ArrowDown', 40, None), 'ArrowUp': ('ArrowUp', 38, None), 'ArrowRight': ('ArrowRight', 39, None),
    'Escape': ('Escape', 27, None),
}


class Browser:
    """One page in a browser with a profile of its own; both go at the end of the block."""

    def __init__(self, program='chromium'):
        self.folder = tempfile.mkdtemp(prefix='lathe-test-browser-')
        ours_out, theirs_in = os.pipe()
        theirs_out, ours_in = os.pipe()
        # The browser reads descriptor 3 and writes 4. Its sandbox needs what root has not, and containers neither.
        script = 'exec 3<&%d 4>&%d; exec "$@"' % (theirs_out, theirs_in)
        arguments = [
            program, '--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--no-first-run',
            '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--hide-scrollbars',
            '--user-data-dir=' + self.folder, 'about:blank']
        # bash, since dash has no descriptors above 9.
        self.process = subprocess.Popen(
            ['bash', '-c', script, 'bash'] + arguments, pass_fds=(theirs_out, theirs_in), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=leashed,
            env=dict(os.environ, HOME=self.folder))
        os.close(theirs_out)
        os.close(theirs_in)
        self.input, self.output = ours_in, os.fdopen(ours_out, 'rb')
        self.number, self.answers, self.arrived = 0, {}, threading.Condition()
        # What the page's console and the protocol complained of.
        self.complaints = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = None
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log'):
            self.call(domain + '.enable')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.input)
        self.reader.join()
        self.output.close()
        # Helpers of the browser write into its profile until they see that it is gone.
        for _ in range(50):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not os.path.exists(self.folder):
                break
            time.sleep(0.1)

    def _read(self):
        rest = b''
        while True:
            piece = os.read(self.output.fileno(), 1 << 16)
            if not piece:
                break
            *messages, rest = (rest + piece).split(b'\0')
            for message in map(json.loads, messages):
                with self.arrived:
                    if 'id' in message:
                        self.answers[message['id']] = message
                    elif message['method'] == 'Runtime.exceptionThrown':
                        self.complaints.append(json.dumps(message['params']['exceptionDetails'])[:600])
                    elif message['method'] == 'Log.entryAdded' and message['params']['entry']['level'] == 'error':
                        self.complaints.append(message['params']['entry']['text'] + ' ' + message['params']['entry'].get('url', ''))
                    self.arrived.notify_all()
        with self.arrived:
            self.answers = None
            self.arrived.notify_all()

    def call(self, method, **parameters):
        with self.arrived:
            self.number += 1
            number = self.number
        message = {'id': number, 'method': method, 'params': parameters}
        if getattr(self, 'session', None):
            message['sessionId'] = self.session
        os.write(self.input, json.dumps(message).encode() + b'\0')
        with self.arrived:
            if not self.arrived.wait_for(lambda: self.answers is None or number in self.answers, 60):
                raise BrowserError('%s: no answer within a minute' % method)
            if self.answers is None:
                raise BrowserError('%s: the browser is gone' % method)
            answer = self.answers.pop(number)
        if 'error' in answer:
            raise BrowserError('%s: %s' % (method, answer['error']))
        return answer['result']

    def open(self, url):
        self.call('Page.navigate', url=url)
        self.wait("document.readyState === 'complete' && location.href.startsWith(%s)" % json.dumps(url))

    def ask(self, expression):
        """What JavaScript in the page comes to."""
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in answer:
            raise BrowserError('%s: %s' % (expression, json.dumps(answer['exceptionDetails'])[:600]))
        return answer['result'].get('value')

    def wait(self, expression, seconds=60):
        """Waits until JavaScript in the page comes to something true, and answers that."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                value = self.ask(expression)
            except BrowserError:
                # A page that is being left has no context to ask in.
                value = None
            if value:
                return value
            if time.monotonic() > deadline:
                raise BrowserError('%s: not so within %d s; the page says: %s' % (
                    expression, seconds, self.ask('document.body.innerText')))
            time.sleep(0.05)

    def press(self, key, shift=False):
        code, number, text = KEYS[key]
        common = {'key': ' ' if key == 'Space' else key, 'code': code, 'windowsVirtualKeyCode': number, 'modifiers': 8 if shift else 0}
        self.call('Input.dispatchKeyEvent', type='keyDown' if text else 'rawKeyDown', **common, **({'text': text} if text else {}))
        self.call('Input.dispatchKeyEvent', type='keyUp', **common)

    def type(self, text):
        """Types into what has the focus."""
        self.call('Input.insertText', text=text)

    def click(self, selector):
        """Presses the mouse in the middle of an element."""
        x, y = self.ask("""(() => {
            const element = document.querySelector(%s)
            element.scrollIntoView({ block: 'center' })
            const box = element.getBoundingClientRect()
            return [box.x + box.width / 2, box.y + box.height / 2]
        })()""" % json.dumps(selector))
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def shape(self, width, height, dark=False, phone=False):
        """Gives the page a window of so many pixels."""
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])

    def picture(self, path, whole=True):
        data = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=whole)['data']
        with open(path, 'wb') as file:
            file.write(base64.b64decode(data))

