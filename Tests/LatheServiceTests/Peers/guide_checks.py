"""docs/export-image-service.md, as somebody pastes it: every command and the program, word for word but for ports and what is filled in."""
import os
import re
import subprocess
import tempfile
import unittest

from service import LATHE, Service, content, leashed, run

GUIDE = os.path.join(os.path.dirname(__file__), '..', '..', '..', 'docs', 'export-image-service.md')


class Guide(unittest.TestCase):
    def test_the_guide_from_its_first_to_its_last_command(self):
        with open(GUIDE) as file:
            blocks = re.findall(r'^```(sh|python)\n(.*?)^```$', file.read(), re.MULTILINE | re.DOTALL)
        self.assertEqual([kind for kind, _ in blocks].count('python'), 1)
        self.assertEqual(blocks[0], ('sh', 'lathe serve\n'))
        home = tempfile.mkdtemp(prefix='lathe-test-guide-')
        # The service is where it is without --data-directory.
        with Service(folder=home, data=None, environment={'HOME': home, 'XDG_DATA_HOME': ''}, places=False) as service:
            disk = os.path.join(home, 'disk.raw')
            with open(disk, 'wb') as file:
                file.write(content(2 << 20, 5))
            run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', disk, os.path.join(home, 'disk.qcow2'))
            os.symlink(LATHE, os.path.join(home, 'lathe'))
            # The SDKs that the tests have are those that the guide installs.
            os.makedirs(os.path.join(home, 'sdk', 'bin'))
            python = os.path.join(home, 'sdk', 'bin', 'python')
            with open(python, 'w') as file:
                file.write('#!/bin/sh\nexec "%s" "$@"\n' % os.environ['LATHE_PYTHON'])
            os.chmod(python, 0o755)
            environment = dict(os.environ, HOME=home, XDG_DATA_HOME='', PATH=home + ':' + os.environ['PATH'])
            filled = {'LATHE_KEY_ID=…': 'LATHE_KEY_ID=' + service.key, 'LATHE_KEY_SECRET=…': 'LATHE_KEY_SECRET=' + service.secret,
                      '127.0.0.1:8088': service.endpoint.split('//')[1], '127.0.0.1:8080': service.oss_endpoint.split('//')[1]}
            script = ['set -eu']
            for kind, text in blocks[1:]:
                for word, value in filled.items():
                    text = text.replace(word, value)
                if kind == 'python':
                    with open(os.path.join(home, 'export.py'), 'w') as file:
                        file.write(text)
                elif 'venv' not in text:
                    script.append(text.replace('lathe image add', 'added=$(lathe image add').replace('disk.qcow2\n', 'disk.qcow2)\n')
                                  if 'image add' in text else text.replace('m-…', '$(grep -o "m-[a-z0-9]*" <<<"$added" | head -n 1)'))
            outcome = subprocess.run(['bash', '-c', '\n'.join(script)], cwd=home, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                                     text=True, timeout=120, preexec_fn=leashed)
            self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
            self.assertRegex(outcome.stdout, r'tsk-[a-z0-9]{20} Finished')
            self.assertIn('…', ''.join(text for _, text in blocks), 'what is to be filled in')


if __name__ == '__main__':
    unittest.main()
