"""``weir plugin``: write, check and try out a plugin without a gateway.

| module       | what                                                                  |
|--------------|-----------------------------------------------------------------------|
| `commands`   | the command line                                                      |
| `arguments`  | a plugin's command and its configuration, as they are typed           |
| `trial`      | which hooks it has, and a configuration around it                     |
| `rig`        | it, started as a gateway starts it, and calls of it that end in time  |
| `recorded`   | events and calls out of a file                                        |
| `playing`    | what a gateway does with them, with one plugin                        |
| `effects`    | what the plugin did to each, as data                                  |
| `report`     | the same for people                                                   |
| `checking`   | the checks of a conformance run, in order                             |
| `oddities`   | what handlers are shown in it                                         |
| `handshake`  | what a program says of itself when nobody knows it                    |
| `leftovers`  | processes that outlive their plugin                                   |
| `scaffold`   | a new plugin out of `templates/`                                      |
"""
