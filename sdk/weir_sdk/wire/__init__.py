"""The SDK's messages as the plugin protocol carries them, and back.

Pure functions, for both ends: ``..._to_wire`` makes a protobuf message, ``..._from_wire`` reads one. Where
Go's messages cannot say something, our own optional fields (numbers above 100) do; ``Peer`` says whether the
plugin at the other end reads these.

| module      | what                                                                        |
|-------------|-----------------------------------------------------------------------------|
| `context`   | a call's facts, and what a handler changed in its metadata                  |
| `requests`  | requests, and the answers of pre_auth, auth and post_auth                   |
| `responses` | answers on their way to the client, and what became of a stream             |
| `events`    | the three events                                                            |
| `collected` | what a collector answered, and batches                                      |
| `config`    | a plugin's configuration                                                    |
| `failures`  | a handler that raised, and one that answered rubbish                        |
| `gateway`   | apps, LLMs and prices for plugins, and the errors of those reads            |
"""
