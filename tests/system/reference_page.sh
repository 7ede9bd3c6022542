# The calls of steps 5 and 6 of the plugin guide that Weir takes as its reference, and of its integration test,
# as a reader pastes them. Ours: the command is a python:// one, the test's "..." is filled in, a model call
# takes an app's credential, and the address and the tokens come from the environment.

deploy_plugin() {
  curl -s -X POST $WEIR/api/v1/plugins \
    -H "Authorization: Bearer $YOUR_TOKEN" \
    -H "Content-Type: application/json" \
    -d '{
      "name": "My Plugin",
      "slug": "my-plugin",
      "description": "Custom plugin",
      "command": "python://weir_test_plugins:Blocker",
      "hook_type": "pre_auth",
      "is_active": true,
      "plugin_type": "gateway"
    }'
}

attach_to_llm() {
  curl -s -X PUT $WEIR/api/v1/llms/1/plugins \
    -H "Authorization: Bearer $YOUR_TOKEN" \
    -H "Content-Type: application/json" \
    -d '{
      "plugin_ids": [1, 2, 3]
    }'
}

create_for_integration_test() {
  curl -s -X POST $WEIR/api/v1/plugins \
    -H "Authorization: Bearer $TOKEN" \
    -d '{
      "command": "python://weir_test_plugins:Stamp",
      "name": "Under test",
      "hook_type": "on_response"
    }'
}

create_another() {
  curl -s -X POST $WEIR/api/v1/plugins \
    -H "Authorization: Bearer $TOKEN" \
    -d '{
      "command": "python://weir_test_plugins:Rewriter",
      "name": "Another",
      "hook_types": ["pre_auth", "post_auth"]
    }'
}

test_llm_request() {
  curl -s -X POST $WEIR/api/v1/llms/1/proxy/v1/chat/completions \
    -H "Authorization: Bearer $TOKEN" \
    -d '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "test"}]}'
}
