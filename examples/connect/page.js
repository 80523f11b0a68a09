import { popup, redirect } from '/sealed-connect.js';

const status = document.getElementById('status');
const start = '/connect/start';

async function run(work) {
  try {
    await work();
  } catch (failure) {
    status.textContent = failure.message;
  }
}

document.getElementById('redirect')?.addEventListener('click', () => run(() => redirect({ start })));
document.getElementById('popup')?.addEventListener('click', () => run(async () => {
  status.textContent = 'Continue in the popup.';
  const { state, failure } = await popup({ start, status: '/connect/status', interval: 500 });
  if (state === 'completed') location.reload();
  else status.textContent = `Nothing was connected: ${failure ?? state}.`;
}));
