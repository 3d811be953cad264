"""The console in a real browser: headless Chromium logs in, exports, watches, verifies. Pictures go to LATHE_PICTURES, where it is set."""
import json
import os
import unittest

from browser import Browser
from service import BUCKET, REGION, Service, content

PICTURES = os.environ.get('LATHE_PICTURES')
FOCUS = "(document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent)"
ANNOUNCED = "document.getElementById('news').textContent"


class Console(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service()
        cls.addClassCleanup(cls.service.close)
        cls.disk = os.path.join(cls.service.folder, 'disk.raw')
        with open(cls.disk, 'wb') as file:
            file.write(content(3 << 20, 1))
        cls.image = cls.service.add_image('web-server', cls.disk)

    def setUp(self):
        self.browser = self.enterContext(Browser())
        self.browser.shape(1280, 900)
        self.browser.open(self.service.endpoint + '/console')
        self.browser.wait("!document.getElementById('sign-in').hidden")

    def tearDown(self):
        # A refusal of the API, or none at all, is logged as a resource that failed; anything else is a fault of the page.
        self.assertEqual([one for one in self.browser.complaints if '/?' not in one], [])

    def picture(self, name):
        if PICTURES:
            self.browser.picture(os.path.join(PICTURES, name + '.png'))

    def sign_in(self):
        page = self.browser
        page.click('#access-key-id')
        page.type(self.service.key)
        page.click('#access-key-secret')
        page.type(self.service.secret)
        page.click('#sign-in-form button')
        page.wait("!document.getElementById('desk').hidden && document.querySelectorAll('#image option').length > 0 && document.querySelectorAll('#bucket option').length > 0")

    def tab_to(self, what):
        """Presses Tab until the focus is where it is wanted, and wants it to be seen on the way."""
        for _ in range(80):
            self.browser.press('Tab')
            if self.browser.ask(FOCUS) == what or self.browser.ask('document.activeElement.id') == what:
                return
            seen = self.browser.ask("""(() => {
                const element = document.activeElement
                if (element === document.body) return true
                const drawn = element.type === 'radio' ? element.nextElementSibling : element
                return getComputedStyle(drawn).outlineStyle !== 'none' || getComputedStyle(drawn).boxShadow !== 'none'
            })()""")
            self.assertTrue(seen, 'the focus is not seen on ' + str(self.browser.ask(FOCUS)))
        self.fail('Tab does not come to %s' % what)

    def test_from_a_key_to_a_verified_object(self):
        page = self.browser
        self.sign_in()
        self.picture('console-signed-in')
        page.ask("document.getElementById('image').value = %s" % json.dumps(self.image))
        page.click('#prefix')
        page.type('browser')
        page.click('input[value=qcow2]')
        page.click('#export-button')
        # An export that ends at once may be told as finished before anybody has looked.
        task = page.wait("(%s.match(/Task (tsk-[a-z0-9]{20})( has been started|: Finished)/) || [])[1]" % ANNOUNCED)
        page.wait("document.querySelector('#tasks > li').innerText.includes(%s)" % json.dumps(task))
        page.wait("document.querySelector('#tasks > li').dataset.state === 'Finished'", 120)
        page.wait("%s.includes(%s)" % (ANNOUNCED, json.dumps('Task %s: Finished.' % task)))
        self.assertEqual(page.ask("document.querySelector('#tasks progress').value"), 100)
        key = 'browser_%s_system.qcow2' % self.image
        page.wait("document.querySelector('#objects').innerText.includes(%s)" % json.dumps(key))
        head = self.service.oss().head_object(key)
        self.assertIn(str(head.server_crc), page.ask("document.querySelector('#objects > li').innerText"))
        page.click('#objects > li button')
        page.wait("document.querySelector('#objects .result').dataset.outcome === 'good'")
        self.picture('console-light')
        page.shape(1280, 900, dark=True)
        self.picture('console-dark')

    def test_an_export_that_ends_before_it_is_looked_at_is_told(self):
        page = self.browser
        self.sign_in()
        page.ask("""(() => { const theirs = window.fetch; window.fetch = async (...all) => {
            const answer = await theirs(...all)
            if (all[1].headers['x-acs-action'] === 'ExportImage') await new Promise((resolve) => { window.goOn = resolve })
            return answer
        } })()""")
        page.ask("document.getElementById('image').value = %s" % json.dumps(self.image))
        page.click('#prefix')
        page.type('quick')
        page.click('#export-button')
        page.wait('window.goOn !== undefined')
        client = self.service.client('core')
        task = self.service.call('DescribeTasks', RegionId=REGION)['TaskSet']['Task'][0]['TaskId']
        self.service.ended(client, task)
        page.ask('window.goOn()')
        page.wait("%s.includes(%s)" % (ANNOUNCED, json.dumps('Task %s: Finished.' % task)), 20)

    def test_an_object_that_is_damaged_is_told(self):
        page = self.browser
        image = self.service.add_image('damaged', self.disk)
        task = self.service.call('ExportImage', RegionId=REGION, ImageId=image, OSSBucket=BUCKET, OSSPrefix='damaged', ImageFormat='vhd')['TaskId']
        self.service.ended(self.service.client('core'), task)
        path = os.path.join(self.service.data, 'objects', BUCKET, 'damaged_%s_system.vhd' % image)
        with open(path, 'r+b') as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(b'damage that was not there before')
        self.sign_in()
        name = json.dumps('Verify damaged_%s_system.vhd' % image)
        page.wait("document.querySelector('[aria-label=' + CSS.escape(%s) + ']') !== null" % name)
        page.ask("document.querySelector('[aria-label=' + CSS.escape(%s) + ']').click()" % name)
        page.wait("document.querySelector('#objects .result[data-outcome=bad]') !== null")

    def test_an_export_that_is_asked_for_before_the_lists_are_there_waits_for_them(self):
        page = self.browser
        page.ask("""(() => { window.theirs = window.fetch; window.fetch = async (...all) => {
            if (all[1].headers['x-acs-action'] === 'DescribeImages') await new Promise((resolve) => { window.goOn = resolve })
            return await window.theirs(...all)
        } })()""")
        page.ask("document.getElementById('access-key-id').value = %s" % json.dumps(self.service.key))
        page.ask("document.getElementById('access-key-secret').value = %s" % json.dumps(self.service.secret))
        page.ask("document.getElementById('sign-in-form').requestSubmit()")
        page.wait("document.querySelectorAll('#bucket option').length > 0 && window.goOn !== undefined")
        page.ask("document.getElementById('dry-run').checked = true")
        page.ask("document.getElementById('export-form').requestSubmit()")
        self.assertEqual(page.ask("document.getElementById('export-problem').textContent"), '')
        page.ask("window.goOn()")
        page.wait(ANNOUNCED + ".includes('The dry run passed')")

    def test_all_of_it_by_keyboard(self):
        page = self.browser
        self.tab_to('access-key-id')
        page.type(self.service.key)
        self.tab_to('access-key-secret')
        page.type('not the secret')
        page.press('Enter')
        page.wait("document.getElementById('sign-in-problem').textContent.includes('SignatureDoesNotMatch')")
        self.assertEqual(page.ask(FOCUS), 'access-key-id')
        self.tab_to('access-key-secret')
        page.ask("document.activeElement.select()")
        page.type(self.service.secret)
        page.press('Enter')
        page.wait("document.activeElement.id === 'image' && document.querySelectorAll('#bucket option').length > 0")
        self.tab_to('bucket')
        page.press('Tab')
        # The group of formats is one stop; arrows go through it.
        self.assertEqual(page.ask('document.activeElement.value'), 'raw')
        page.press('ArrowRight')
        page.press('ArrowRight')
        self.assertEqual(page.ask("new FormData(document.getElementById('export-form')).get('format')"), 'qcow2')
        self.tab_to('prefix')
        page.type('not_right')
        page.press('Enter')
        page.wait("document.activeElement.getAttribute('aria-invalid') === 'true' && document.activeElement.id === 'prefix'")
        page.ask('document.activeElement.select()')
        page.type('keyboard')
        self.tab_to('dry-run')
        page.press('Space')
        page.press('Tab')
        page.press('Enter')
        page.wait(ANNOUNCED + ".includes('The dry run passed')")
        page.press('Tab', shift=True)
        page.press('Space')
        self.tab_to('export-button')
        page.press('Space')
        page.wait("/has been started|: Finished/.test(%s)" % ANNOUNCED)
        page.wait("document.querySelector('#tasks > li').dataset.state === 'Finished'", 120)
        button = page.wait("(() => { const one = document.querySelector('#objects > li button'); return one && one.getAttribute('aria-label').includes('keyboard_') && one.getAttribute('aria-label') })()")
        self.tab_to(button)
        page.press('Enter')
        page.wait("document.querySelector('#objects .result').dataset.outcome === 'good'")
        # The focus has stayed on the button, and the lists have been drawn anew since.
        self.assertEqual(page.ask("document.activeElement.getAttribute('aria-label')"), button)
        for _ in range(80):
            if page.ask('document.activeElement.id') == 'forget':
                break
            page.press('Tab', shift=True)
        page.press('Enter')
        page.wait("!document.getElementById('sign-in').hidden && document.activeElement.id === 'access-key-id'")
        self.assertIsNone(page.ask("sessionStorage.getItem('lathe.access-key')"))
        self.assertNotIn(self.service.secret, page.ask('document.documentElement.outerHTML'))

    def test_on_a_phone_nothing_is_beside_the_screen(self):
        page = self.browser
        page.shape(360, 740, phone=True)
        for when in ('before', 'after'):
            widths = page.ask("[document.documentElement.scrollWidth, innerWidth]")
            self.assertEqual(widths, [360, 360], when)
            outside = page.ask("""[...document.querySelectorAll('body *:not(.skip)')].filter((one) => one.getClientRects().length > 0
                && one.getBoundingClientRect().right > 360.5).map((one) => one.outerHTML.slice(0, 80))""")
            self.assertEqual(outside, [], when)
            if when == 'before':
                self.sign_in()
                page.wait("document.querySelectorAll('#images > li').length > 0")
        small = page.ask("""[...document.querySelectorAll('button, select, input:not([type=radio], [type=checkbox])')].filter((one) => one.getClientRects().length > 0
            && one.getBoundingClientRect().height < 36).map((one) => one.outerHTML.slice(0, 80))""")
        self.assertEqual(small, [])
        self.picture('console-phone')

    def test_every_control_has_a_name(self):
        page = self.browser
        self.sign_in()
        page.wait("document.querySelectorAll('#images > li').length > 0")
        page.call('Accessibility.enable')
        nodes = page.call('Accessibility.getFullAXTree')['nodes']
        controls = [node for node in nodes if not node['ignored'] and node['role']['value'] in ('button', 'textbox', 'combobox', 'radio', 'checkbox', 'progressbar', 'region', 'navigation')]
        self.assertGreater(len(controls), 10)
        self.assertEqual([node['role']['value'] for node in controls if not node.get('name', {}).get('value')], [])
        self.assertEqual(page.ask("[...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size"), 0)

    def test_a_service_that_is_gone_is_told_and_found_again(self):
        page = self.browser
        self.sign_in()
        self.service.kill()
        page.wait("!document.getElementById('connection').hidden", 30)
        self.service.restart()
        page.wait("document.getElementById('connection').hidden", 60)

    def test_a_key_is_kept_for_the_tab_alone(self):
        page = self.browser
        self.sign_in()
        self.assertEqual(page.ask('localStorage.length'), 0)
        self.assertEqual(page.ask('document.cookie'), '')
        page.open(self.service.endpoint + '/console')
        page.wait("!document.getElementById('desk').hidden && document.querySelectorAll('#images > li').length > 0")

    def test_nothing_from_the_service_is_markup(self):
        page = self.browser
        name = 'x<img src=x onerror=document.title=1>'
        page.ask("""(() => { window.theirs = window.fetch; window.fetch = async (...all) => {
            const answer = await window.theirs(...all)
            const text = (await answer.text()).replaceAll('web-server', %s)
            return new Response(text, { status: answer.status, headers: answer.headers })
        } })()""" % json.dumps(name))
        self.sign_in()
        page.wait("document.querySelector('#images').innerText.includes(%s)" % json.dumps(name))
        self.assertEqual(page.ask("document.querySelectorAll('main img').length"), 0)
        self.assertEqual(page.ask('document.title'), 'Lathe console')


if __name__ == '__main__':
    unittest.main()
