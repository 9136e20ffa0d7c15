import { show } from './streamxr.js';

show({ ahead: true });
