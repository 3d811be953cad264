import LatheCommands

Lathe.start()
