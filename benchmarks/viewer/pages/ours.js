import { show } from './streamxr.js';

show({ ahead: false });
