// The gate: the trigger of the tournaments table.
#pragma once

#include "engine/attachment.hpp"

namespace pg_enroll::engine {

void gate(const Home& home, TriggerData* trigger);

}  // namespace pg_enroll::engine
