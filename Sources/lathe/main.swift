import LatheCommands

Lathe.main()
