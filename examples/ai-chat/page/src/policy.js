// `ai` checks chunks with zod, which compiles its checks unless it is told not to. The content policy
// of the page forbids that, as it should.

import { config } from 'zod/v4/core';

config({ jitless: true });
